"""Every table of the first release. Generated from the models."""

import sqlalchemy as sa
from alembic import op

from pileus.kernel import db

revision = "0001_5e6a803cc036"


def upgrade() -> None:
    op.create_table('block_storage_attachments',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('volume_id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('server_id', sa.String(length=36), nullable=True),
    sa.Column('status', sa.String(length=32), nullable=False),
    sa.Column('mode', sa.String(length=4), nullable=True),
    sa.Column('host_name', sa.String(length=255), nullable=True),
    sa.Column('device', sa.String(length=255), nullable=True),
    sa.Column('connector', db.JsonText(), nullable=True),
    sa.Column('connection_info', db.JsonText(), nullable=True),
    sa.Column('managed', sa.Boolean(), nullable=False),
    sa.Column('attached_at', db.UtcDateTime(), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_block_storage_attachments'))
    )
    with op.batch_alter_table('block_storage_attachments', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_block_storage_attachments_project_id'), ['project_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_block_storage_attachments_server_id'), ['server_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_block_storage_attachments_volume_id'), ['volume_id'], unique=False)

    op.create_table('block_storage_backups',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('volume_id', sa.String(length=36), nullable=False),
    sa.Column('snapshot_id', sa.String(length=36), nullable=True),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=True),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('status', sa.String(length=32), nullable=False),
    sa.Column('fail_reason', sa.Text(), nullable=True),
    sa.Column('size', sa.Integer(), nullable=False),
    sa.Column('container', sa.String(length=255), nullable=False),
    sa.Column('object_count', sa.Integer(), nullable=False),
    sa.Column('availability_zone', sa.String(length=255), nullable=False),
    sa.Column('properties', db.JsonText(), nullable=False),
    sa.Column('volume_type_id', sa.String(length=36), nullable=False),
    sa.Column('volume_properties', db.JsonText(), nullable=False),
    sa.Column('image_properties', db.JsonText(), nullable=True),
    sa.Column('bootable', sa.Boolean(), nullable=False),
    sa.Column('data_timestamp', db.UtcDateTime(), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_block_storage_backups'))
    )
    with op.batch_alter_table('block_storage_backups', schema=None) as batch_op:
        batch_op.create_index('ix_block_storage_backups_listing', ['project_id', 'created_at', 'id'], unique=False)
        batch_op.create_index(batch_op.f('ix_block_storage_backups_snapshot_id'), ['snapshot_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_block_storage_backups_volume_id'), ['volume_id'], unique=False)

    op.create_table('block_storage_messages',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('request_id', sa.String(length=64), nullable=False),
    sa.Column('resource_type', sa.String(length=32), nullable=False),
    sa.Column('resource_id', sa.String(length=36), nullable=False),
    sa.Column('event_id', sa.String(length=64), nullable=False),
    sa.Column('level', sa.String(length=16), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('guaranteed_until', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_block_storage_messages'))
    )
    with op.batch_alter_table('block_storage_messages', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_block_storage_messages_project_id'), ['project_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_block_storage_messages_resource_id'), ['resource_id'], unique=False)

    op.create_table('block_storage_services',
    sa.Column('binary', sa.String(length=64), nullable=False),
    sa.Column('host', sa.String(length=255), nullable=False),
    sa.Column('disabled', sa.Boolean(), nullable=False),
    sa.Column('disabled_reason', sa.String(length=255), nullable=True),
    sa.Column('frozen', sa.Boolean(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('binary', 'host', name=op.f('pk_block_storage_services'))
    )
    op.create_table('block_storage_snapshots',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('volume_id', sa.String(length=36), nullable=False),
    sa.Column('volume_type_id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=True),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('size', sa.Integer(), nullable=False),
    sa.Column('status', sa.String(length=32), nullable=False),
    sa.Column('progress', sa.String(length=8), nullable=False),
    sa.Column('properties', db.JsonText(), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_block_storage_snapshots'))
    )
    with op.batch_alter_table('block_storage_snapshots', schema=None) as batch_op:
        batch_op.create_index('ix_block_storage_snapshots_listing', ['project_id', 'created_at', 'id'], unique=False)
        batch_op.create_index(batch_op.f('ix_block_storage_snapshots_volume_id'), ['volume_id'], unique=False)

    op.create_table('block_storage_transfers',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('volume_id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=True),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('salt', sa.String(length=64), nullable=False),
    sa.Column('key_hash', sa.String(length=64), nullable=False),
    sa.Column('no_snapshots', sa.Boolean(), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_block_storage_transfers')),
    sa.UniqueConstraint('volume_id', name=op.f('uq_block_storage_transfers_volume_id'))
    )
    with op.batch_alter_table('block_storage_transfers', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_block_storage_transfers_project_id'), ['project_id'], unique=False)

    op.create_table('block_storage_type_access',
    sa.Column('volume_type_id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('volume_type_id', 'project_id', name=op.f('pk_block_storage_type_access'))
    )
    op.create_table('block_storage_types',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('is_public', sa.Boolean(), nullable=False),
    sa.Column('extra_specs', db.JsonText(), nullable=False),
    sa.Column('qos_specs_id', sa.String(length=36), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_block_storage_types')),
    sa.UniqueConstraint('name', name=op.f('uq_block_storage_types_name'))
    )
    op.create_table('block_storage_volumes',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=True),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('size', sa.Integer(), nullable=False),
    sa.Column('quota_gib', sa.Integer(), nullable=False),
    sa.Column('status', sa.String(length=32), nullable=False),
    sa.Column('previous_status', sa.String(length=32), nullable=True),
    sa.Column('availability_zone', sa.String(length=255), nullable=False),
    sa.Column('host', sa.String(length=255), nullable=True),
    sa.Column('volume_type_id', sa.String(length=36), nullable=False),
    sa.Column('snapshot_id', sa.String(length=36), nullable=True),
    sa.Column('source_volid', sa.String(length=36), nullable=True),
    sa.Column('bootable', sa.Boolean(), nullable=False),
    sa.Column('multiattach', sa.Boolean(), nullable=False),
    sa.Column('read_only', sa.Boolean(), nullable=True),
    sa.Column('properties', db.JsonText(), nullable=False),
    sa.Column('image_properties', db.JsonText(), nullable=True),
    sa.Column('group_id', sa.String(length=36), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_block_storage_volumes'))
    )
    with op.batch_alter_table('block_storage_volumes', schema=None) as batch_op:
        batch_op.create_index('ix_block_storage_volumes_listing', ['project_id', 'created_at', 'id'], unique=False)
        batch_op.create_index(batch_op.f('ix_block_storage_volumes_volume_type_id'), ['volume_type_id'], unique=False)

    op.create_table('compute_aggregates',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('uuid', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('availability_zone', sa.String(length=255), nullable=True),
    sa.Column('metadata', db.JsonText(), nullable=False),
    sa.Column('hosts', db.JsonText(), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_compute_aggregates')),
    sa.UniqueConstraint('name', name=op.f('uq_compute_aggregates_name'))
    )
    op.create_table('compute_block_devices',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('server_id', sa.String(length=36), nullable=False),
    sa.Column('volume_id', sa.String(length=36), nullable=False),
    sa.Column('attachment_id', sa.String(length=36), nullable=False),
    sa.Column('device', sa.String(length=20), nullable=False),
    sa.Column('boot_index', sa.Integer(), nullable=True),
    sa.Column('delete_on_termination', sa.Boolean(), nullable=False),
    sa.Column('tag', sa.String(length=60), nullable=True),
    sa.Column('connection', db.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_compute_block_devices')),
    sa.UniqueConstraint('server_id', 'device', name=op.f('uq_compute_block_devices_server_id_device'))
    )
    with op.batch_alter_table('compute_block_devices', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_compute_block_devices_server_id'), ['server_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_compute_block_devices_volume_id'), ['volume_id'], unique=False)

    op.create_table('compute_console_tokens',
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('server_id', sa.String(length=36), nullable=False),
    sa.Column('host', sa.String(length=255), nullable=False),
    sa.Column('protocol', sa.String(length=20), nullable=False),
    sa.Column('expires_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_compute_console_tokens'))
    )
    op.create_table('compute_flavor_access',
    sa.Column('flavor_id', sa.String(length=255), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('flavor_id', 'project_id', name=op.f('pk_compute_flavor_access'))
    )
    op.create_table('compute_flavors',
    sa.Column('id', sa.String(length=255), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('vcpus', sa.Integer(), nullable=False),
    sa.Column('memory_mb', sa.Integer(), nullable=False),
    sa.Column('disk_gib', sa.Integer(), nullable=False),
    sa.Column('ephemeral_gib', sa.Integer(), nullable=False),
    sa.Column('swap_mb', sa.Integer(), nullable=False),
    sa.Column('rxtx_factor', sa.Double(), nullable=False),
    sa.Column('is_public', sa.Boolean(), nullable=False),
    sa.Column('disabled', sa.Boolean(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('extra_specs', db.JsonText(), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_compute_flavors')),
    sa.UniqueConstraint('name', name=op.f('uq_compute_flavors_name'))
    )
    op.create_table('compute_hosts',
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('boot_id', sa.String(length=64), nullable=False),
    sa.Column('inventory', db.JsonText(), nullable=False),
    sa.Column('disabled', sa.Boolean(), nullable=False),
    sa.Column('disabled_reason', sa.String(length=255), nullable=True),
    sa.Column('forced_down', sa.Boolean(), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_compute_hosts')),
    sa.UniqueConstraint('id', name=op.f('uq_compute_hosts_id')),
    sa.UniqueConstraint('number', name=op.f('uq_compute_hosts_number'))
    )
    op.create_table('compute_key_pairs',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('type', sa.String(length=10), nullable=False),
    sa.Column('fingerprint', sa.String(length=255), nullable=False),
    sa.Column('public_key', sa.Text(), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_compute_key_pairs')),
    sa.UniqueConstraint('user_id', 'name', name=op.f('uq_compute_key_pairs_user_id_name'))
    )
    op.create_table('compute_migrations',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('uuid', sa.String(length=36), nullable=False),
    sa.Column('server_id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('type', sa.String(length=20), nullable=False),
    sa.Column('status', sa.String(length=20), nullable=False),
    sa.Column('source_host', sa.String(length=255), nullable=False),
    sa.Column('target_host', sa.String(length=255), nullable=True),
    sa.Column('old_flavor', db.JsonText(), nullable=False),
    sa.Column('new_flavor', db.JsonText(), nullable=False),
    sa.Column('was', sa.String(length=20), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_compute_migrations')),
    sa.UniqueConstraint('uuid', name=op.f('uq_compute_migrations_uuid'))
    )
    with op.batch_alter_table('compute_migrations', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_compute_migrations_server_id'), ['server_id'], unique=False)

    op.create_table('compute_nics',
    sa.Column('port_id', sa.String(length=36), nullable=False),
    sa.Column('server_id', sa.String(length=36), nullable=False),
    sa.Column('network_id', sa.String(length=36), nullable=False),
    sa.Column('mac', sa.String(length=17), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('tag', sa.String(length=60), nullable=True),
    sa.Column('owned', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('port_id', name=op.f('pk_compute_nics'))
    )
    with op.batch_alter_table('compute_nics', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_compute_nics_server_id'), ['server_id'], unique=False)

    op.create_table('compute_server_groups',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('policy', sa.String(length=30), nullable=False),
    sa.Column('rules', db.JsonText(), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_compute_server_groups'))
    )
    with op.batch_alter_table('compute_server_groups', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_compute_server_groups_project_id'), ['project_id'], unique=False)

    op.create_table('compute_servers',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('hostname', sa.String(length=255), nullable=False),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('vm_state', sa.String(length=20), nullable=False),
    sa.Column('task_state', sa.String(length=40), nullable=True),
    sa.Column('power_state', sa.Integer(), nullable=False),
    sa.Column('host', sa.String(length=255), nullable=True),
    sa.Column('availability_zone', sa.String(length=255), nullable=True),
    sa.Column('pinned_availability_zone', sa.String(length=255), nullable=True),
    sa.Column('flavor_id', sa.String(length=255), nullable=False),
    sa.Column('flavor', db.JsonText(), nullable=False),
    sa.Column('vcpus', sa.Integer(), nullable=False),
    sa.Column('memory_mb', sa.Integer(), nullable=False),
    sa.Column('quota_vcpus', sa.Integer(), nullable=False),
    sa.Column('quota_memory_mb', sa.Integer(), nullable=False),
    sa.Column('image_id', sa.String(length=36), nullable=True),
    sa.Column('image', db.JsonText(), nullable=False),
    sa.Column('key_name', sa.String(length=255), nullable=True),
    sa.Column('public_key', sa.Text(), nullable=True),
    sa.Column('user_data', sa.Text(), nullable=True),
    sa.Column('metadata', db.JsonText(), nullable=False),
    sa.Column('tags', db.JsonText(), nullable=False),
    sa.Column('config_drive', sa.Boolean(), nullable=False),
    sa.Column('disk_config', sa.String(length=10), nullable=False),
    sa.Column('access_ip_v4', sa.String(length=15), nullable=True),
    sa.Column('access_ip_v6', sa.String(length=45), nullable=True),
    sa.Column('addresses', db.JsonText(), nullable=False),
    sa.Column('security_groups', db.JsonText(), nullable=False),
    sa.Column('locked_by', sa.String(length=5), nullable=True),
    sa.Column('locked_reason', sa.String(length=255), nullable=True),
    sa.Column('group_id', sa.String(length=36), nullable=True),
    sa.Column('hints', db.JsonText(), nullable=False),
    sa.Column('trusted_certs', db.JsonText(), nullable=True),
    sa.Column('reservation_id', sa.String(length=20), nullable=False),
    sa.Column('launch_index', sa.Integer(), nullable=False),
    sa.Column('root_device', sa.String(length=20), nullable=True),
    sa.Column('progress', sa.Integer(), nullable=False),
    sa.Column('fault', db.JsonText(), nullable=True),
    sa.Column('password', sa.Text(), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.Column('launched_at', db.UtcDateTime(), nullable=True),
    sa.Column('terminated_at', db.UtcDateTime(), nullable=True),
    sa.Column('deleted_at', db.UtcDateTime(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_compute_servers'))
    )
    with op.batch_alter_table('compute_servers', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_compute_servers_group_id'), ['group_id'], unique=False)
        batch_op.create_index('ix_compute_servers_host', ['host', 'deleted_at'], unique=False)
        batch_op.create_index('ix_compute_servers_project', ['project_id', 'deleted_at', 'created_at'], unique=False)
        batch_op.create_index('ix_compute_servers_updated', ['updated_at'], unique=False)

    op.create_table('compute_strays',
    sa.Column('host', sa.String(length=255), nullable=False),
    sa.Column('guest_id', sa.String(length=36), nullable=False),
    sa.Column('found_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('host', 'guest_id', name=op.f('pk_compute_strays'))
    )
    op.create_table('event_cursors',
    sa.Column('consumer', sa.String(length=80), nullable=False),
    sa.Column('sequence', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('consumer', name=op.f('pk_event_cursors'))
    )
    op.create_table('events',
    sa.Column('sequence', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('kind', sa.String(length=80), nullable=False),
    sa.Column('resource_id', sa.String(length=255), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=True),
    sa.Column('request_id', sa.String(length=64), nullable=True),
    sa.Column('payload', db.JsonText(), nullable=False),
    sa.Column('initiator', db.JsonText(), nullable=True),
    sa.Column('at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('sequence', name=op.f('pk_events'))
    )
    with op.batch_alter_table('events', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_events_request_id'), ['request_id'], unique=False)

    op.create_table('hosts',
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('state', sa.String(length=10), nullable=False),
    sa.Column('boot_id', sa.String(length=64), nullable=False),
    sa.Column('services', db.JsonText(), nullable=False),
    sa.Column('facts', db.JsonText(), nullable=False),
    sa.Column('registered_at', db.UtcDateTime(), nullable=False),
    sa.Column('last_seen_at', db.UtcDateTime(), nullable=False),
    sa.Column('changed_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_hosts'))
    )
    op.create_table('idempotency_keys',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('fingerprint', sa.String(length=64), nullable=False),
    sa.Column('request_id', sa.String(length=64), nullable=False),
    sa.Column('answer', sa.LargeBinary(length=1052672), nullable=False),
    sa.Column('expires_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_idempotency_keys'))
    )
    with op.batch_alter_table('idempotency_keys', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_idempotency_keys_expires_at'), ['expires_at'], unique=False)

    op.create_table('identity_access_rules',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('service', sa.String(length=64), nullable=False),
    sa.Column('path', sa.String(length=128), nullable=False),
    sa.Column('method', sa.String(length=16), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_access_rules')),
    sa.UniqueConstraint('user_id', 'service', 'path', 'method', name=op.f('uq_identity_access_rules_user_id_service_path_method'))
    )
    op.create_table('identity_access_tokens',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('consumer_id', sa.String(length=64), nullable=False),
    sa.Column('sealed_secret', sa.Text(), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('authorizing_user_id', sa.String(length=64), nullable=False),
    sa.Column('expires_at', db.UtcDateTime(), nullable=True),
    sa.Column('role_ids', db.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_access_tokens'))
    )
    with op.batch_alter_table('identity_access_tokens', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_access_tokens_authorizing_user_id'), ['authorizing_user_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_access_tokens_consumer_id'), ['consumer_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_access_tokens_project_id'), ['project_id'], unique=False)

    op.create_table('identity_accounts',
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('failed_at', db.UtcDateTime(), nullable=True),
    sa.Column('active_on', sa.Date(), nullable=True),
    sa.Column('chose_password', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('user_id', name=op.f('pk_identity_accounts'))
    )
    op.create_table('identity_application_credentials',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('secret_hash', sa.String(length=255), nullable=False),
    sa.Column('expires_at', db.UtcDateTime(), nullable=True),
    sa.Column('unrestricted', sa.Boolean(), nullable=False),
    sa.Column('role_ids', db.JsonText(), nullable=False),
    sa.Column('system', sa.String(length=8), nullable=True),
    sa.Column('access_rule_ids', db.JsonText(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_application_credentials')),
    sa.UniqueConstraint('user_id', 'name', name=op.f('uq_identity_application_credentials_user_id_name'))
    )
    with op.batch_alter_table('identity_application_credentials', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_application_credentials_project_id'), ['project_id'], unique=False)

    op.create_table('identity_assignments',
    sa.Column('actor_id', sa.String(length=64), nullable=False),
    sa.Column('target_id', sa.String(length=64), nullable=False),
    sa.Column('role_id', sa.String(length=64), nullable=False),
    sa.Column('inherited', sa.Boolean(), nullable=False),
    sa.Column('actor_kind', sa.String(length=8), nullable=False),
    sa.Column('target_kind', sa.String(length=8), nullable=False),
    sa.PrimaryKeyConstraint('actor_id', 'target_id', 'role_id', 'inherited', name=op.f('pk_identity_assignments'))
    )
    with op.batch_alter_table('identity_assignments', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_assignments_role_id'), ['role_id'], unique=False)
        batch_op.create_index('ix_identity_assignments_target', ['target_id'], unique=False)

    op.create_table('identity_consumers',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('sealed_secret', sa.Text(), nullable=False),
    sa.Column('extra', db.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_consumers'))
    )
    op.create_table('identity_credentials',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=True),
    sa.Column('type', sa.String(length=255), nullable=False),
    sa.Column('sealed', sa.Text(), nullable=False),
    sa.Column('extra', db.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_credentials'))
    )
    with op.batch_alter_table('identity_credentials', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_credentials_project_id'), ['project_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_credentials_user_id'), ['user_id'], unique=False)

    op.create_table('identity_directory_entries',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('domain_id', sa.String(length=64), nullable=False),
    sa.Column('kind', sa.String(length=8), nullable=False),
    sa.Column('local_id', sa.String(length=255), nullable=False),
    sa.Column('gone_at', db.UtcDateTime(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_directory_entries'))
    )
    with op.batch_alter_table('identity_directory_entries', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_directory_entries_domain_id'), ['domain_id'], unique=False)

    op.create_table('identity_domain_options',
    sa.Column('domain_id', sa.String(length=64), nullable=False),
    sa.Column('section', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=128), nullable=False),
    sa.Column('value', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('domain_id', 'section', 'name', name=op.f('pk_identity_domain_options'))
    )
    op.create_table('identity_endpoint_groups',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('filters', db.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_endpoint_groups'))
    )
    op.create_table('identity_endpoints',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('service_id', sa.String(length=64), nullable=False),
    sa.Column('interface', sa.String(length=8), nullable=False),
    sa.Column('region_id', sa.String(length=255), nullable=True),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('extra', db.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_endpoints'))
    )
    with op.batch_alter_table('identity_endpoints', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_endpoints_service_id'), ['service_id'], unique=False)

    op.create_table('identity_expiring_memberships',
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('group_id', sa.String(length=64), nullable=False),
    sa.Column('provider_id', sa.String(length=64), nullable=False),
    sa.Column('expires_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('user_id', 'group_id', 'provider_id', name=op.f('pk_identity_expiring_memberships'))
    )
    with op.batch_alter_table('identity_expiring_memberships', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_expiring_memberships_group_id'), ['group_id'], unique=False)

    op.create_table('identity_federated_users',
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('provider_id', sa.String(length=64), nullable=False),
    sa.Column('protocol_id', sa.String(length=64), nullable=False),
    sa.Column('unique_id', sa.String(length=255), nullable=False),
    sa.PrimaryKeyConstraint('user_id', 'provider_id', 'protocol_id', name=op.f('pk_identity_federated_users')),
    sa.UniqueConstraint('provider_id', 'protocol_id', 'unique_id', name=op.f('uq_identity_federated_users_provider_id_protocol_id_unique_id'))
    )
    op.create_table('identity_federation_protocols',
    sa.Column('provider_id', sa.String(length=64), nullable=False),
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('mapping_id', sa.String(length=64), nullable=False),
    sa.Column('remote_id_attribute', sa.String(length=64), nullable=True),
    sa.PrimaryKeyConstraint('provider_id', 'id', name=op.f('pk_identity_federation_protocols'))
    )
    with op.batch_alter_table('identity_federation_protocols', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_federation_protocols_mapping_id'), ['mapping_id'], unique=False)

    op.create_table('identity_former_passwords',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('hashed', sa.String(length=255), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_former_passwords'))
    )
    with op.batch_alter_table('identity_former_passwords', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_former_passwords_user_id'), ['user_id'], unique=False)

    op.create_table('identity_groups',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('domain_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('extra', db.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_groups')),
    sa.UniqueConstraint('domain_id', 'name', name=op.f('uq_identity_groups_domain_id_name'))
    )
    op.create_table('identity_implied_roles',
    sa.Column('prior_role_id', sa.String(length=64), nullable=False),
    sa.Column('implied_role_id', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('prior_role_id', 'implied_role_id', name=op.f('pk_identity_implied_roles'))
    )
    op.create_table('identity_limits',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('registered_limit_id', sa.String(length=64), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('domain_id', sa.String(length=64), nullable=False),
    sa.Column('resource_limit', sa.Integer(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_limits')),
    sa.UniqueConstraint('registered_limit_id', 'project_id', 'domain_id', name=op.f('uq_identity_limits_registered_limit_id_project_id_domain_id'))
    )
    with op.batch_alter_table('identity_limits', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_limits_domain_id'), ['domain_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_limits_project_id'), ['project_id'], unique=False)

    op.create_table('identity_mappings',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('rules', db.JsonText(), nullable=False),
    sa.Column('schema_version', sa.String(length=5), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_mappings'))
    )
    op.create_table('identity_memberships',
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('group_id', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('user_id', 'group_id', name=op.f('pk_identity_memberships'))
    )
    with op.batch_alter_table('identity_memberships', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_memberships_group_id'), ['group_id'], unique=False)

    op.create_table('identity_policies',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('type', sa.String(length=255), nullable=False),
    sa.Column('blob', db.JsonText(), nullable=False),
    sa.Column('extra', db.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_policies'))
    )
    op.create_table('identity_policy_associations',
    sa.Column('endpoint_id', sa.String(length=64), nullable=False),
    sa.Column('service_id', sa.String(length=64), nullable=False),
    sa.Column('region_id', sa.String(length=255), nullable=False),
    sa.Column('policy_id', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('endpoint_id', 'service_id', 'region_id', name=op.f('pk_identity_policy_associations'))
    )
    with op.batch_alter_table('identity_policy_associations', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_policy_associations_policy_id'), ['policy_id'], unique=False)

    op.create_table('identity_project_endpoint_groups',
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('endpoint_group_id', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('project_id', 'endpoint_group_id', name=op.f('pk_identity_project_endpoint_groups'))
    )
    with op.batch_alter_table('identity_project_endpoint_groups', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_project_endpoint_groups_endpoint_group_id'), ['endpoint_group_id'], unique=False)

    op.create_table('identity_project_endpoints',
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('endpoint_id', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('project_id', 'endpoint_id', name=op.f('pk_identity_project_endpoints'))
    )
    with op.batch_alter_table('identity_project_endpoints', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_project_endpoints_endpoint_id'), ['endpoint_id'], unique=False)

    op.create_table('identity_project_tags',
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.PrimaryKeyConstraint('project_id', 'name', name=op.f('pk_identity_project_tags'))
    )
    op.create_table('identity_projects',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('domain_id', sa.String(length=64), nullable=False),
    sa.Column('parent_id', sa.String(length=64), nullable=True),
    sa.Column('is_domain', sa.Boolean(), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('options', db.JsonText(), nullable=False),
    sa.Column('extra', db.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_projects')),
    sa.UniqueConstraint('domain_id', 'name', name=op.f('uq_identity_projects_domain_id_name'))
    )
    with op.batch_alter_table('identity_projects', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_projects_domain_id'), ['domain_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_projects_parent_id'), ['parent_id'], unique=False)

    op.create_table('identity_provider_remote_ids',
    sa.Column('remote_id', sa.String(length=255), nullable=False),
    sa.Column('provider_id', sa.String(length=64), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('remote_id', name=op.f('pk_identity_provider_remote_ids'))
    )
    with op.batch_alter_table('identity_provider_remote_ids', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_provider_remote_ids_provider_id'), ['provider_id'], unique=False)

    op.create_table('identity_providers',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('domain_id', sa.String(length=64), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('authorization_ttl', sa.Integer(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_providers'))
    )
    with op.batch_alter_table('identity_providers', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_providers_domain_id'), ['domain_id'], unique=False)

    op.create_table('identity_regions',
    sa.Column('id', sa.String(length=255), nullable=False),
    sa.Column('parent_region_id', sa.String(length=255), nullable=True),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('extra', db.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_regions'))
    )
    op.create_table('identity_registered_limits',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('service_id', sa.String(length=64), nullable=False),
    sa.Column('region_id', sa.String(length=255), nullable=False),
    sa.Column('resource_name', sa.String(length=255), nullable=False),
    sa.Column('default_limit', sa.Integer(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_registered_limits')),
    sa.UniqueConstraint('service_id', 'region_id', 'resource_name', name=op.f('uq_identity_registered_limits_service_id_region_id_resource_name'))
    )
    op.create_table('identity_request_tokens',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('consumer_id', sa.String(length=64), nullable=False),
    sa.Column('sealed_secret', sa.Text(), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('expires_at', db.UtcDateTime(), nullable=True),
    sa.Column('authorizing_user_id', sa.String(length=64), nullable=True),
    sa.Column('verifier', sa.String(length=64), nullable=True),
    sa.Column('role_ids', db.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_request_tokens'))
    )
    with op.batch_alter_table('identity_request_tokens', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_request_tokens_authorizing_user_id'), ['authorizing_user_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_request_tokens_consumer_id'), ['consumer_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_request_tokens_project_id'), ['project_id'], unique=False)

    op.create_table('identity_revision',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('value', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_revision'))
    )
    op.create_table('identity_revocations',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('audit_id', sa.String(length=32), nullable=True),
    sa.Column('audit_chain_id', sa.String(length=32), nullable=True),
    sa.Column('user_id', sa.String(length=64), nullable=True),
    sa.Column('project_id', sa.String(length=64), nullable=True),
    sa.Column('domain_id', sa.String(length=64), nullable=True),
    sa.Column('issued_before', db.UtcDateTime(), nullable=False),
    sa.Column('revoked_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_revocations'))
    )
    with op.batch_alter_table('identity_revocations', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_revocations_audit_chain_id'), ['audit_chain_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_revocations_audit_id'), ['audit_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_revocations_domain_id'), ['domain_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_revocations_project_id'), ['project_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_revocations_user_id'), ['user_id'], unique=False)

    op.create_table('identity_roles',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('domain_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('options', db.JsonText(), nullable=False),
    sa.Column('extra', db.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_roles')),
    sa.UniqueConstraint('domain_id', 'name', name=op.f('uq_identity_roles_domain_id_name'))
    )
    op.create_table('identity_service_providers',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('auth_url', sa.String(length=256), nullable=False),
    sa.Column('sp_url', sa.String(length=256), nullable=False),
    sa.Column('relay_state_prefix', sa.String(length=256), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_service_providers'))
    )
    op.create_table('identity_services',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('type', sa.String(length=255), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('extra', db.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_services'))
    )
    op.create_table('identity_spent_nonces',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('until', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_spent_nonces'))
    )
    with op.batch_alter_table('identity_spent_nonces', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_spent_nonces_until'), ['until'], unique=False)

    op.create_table('identity_spent_passcodes',
    sa.Column('credential_id', sa.String(length=64), nullable=False),
    sa.Column('step', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('credential_id', name=op.f('pk_identity_spent_passcodes'))
    )
    op.create_table('identity_trusts',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('trustor_user_id', sa.String(length=64), nullable=False),
    sa.Column('trustee_user_id', sa.String(length=64), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=True),
    sa.Column('impersonation', sa.Boolean(), nullable=False),
    sa.Column('role_ids', db.JsonText(), nullable=False),
    sa.Column('expires_at', db.UtcDateTime(), nullable=True),
    sa.Column('remaining_uses', sa.Integer(), nullable=True),
    sa.Column('redelegated_trust_id', sa.String(length=64), nullable=True),
    sa.Column('redelegation_count', sa.Integer(), nullable=False),
    sa.Column('extra', db.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_trusts'))
    )
    with op.batch_alter_table('identity_trusts', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_trusts_project_id'), ['project_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_trusts_redelegated_trust_id'), ['redelegated_trust_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_trusts_trustee_user_id'), ['trustee_user_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_trusts_trustor_user_id'), ['trustor_user_id'], unique=False)

    op.create_table('identity_used_assertions',
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('expires_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_identity_used_assertions'))
    )
    with op.batch_alter_table('identity_used_assertions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_used_assertions_expires_at'), ['expires_at'], unique=False)

    op.create_table('identity_users',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('domain_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('default_project_id', sa.String(length=64), nullable=True),
    sa.Column('password_hash', sa.String(length=255), nullable=True),
    sa.Column('password_changed_at', db.UtcDateTime(), nullable=True),
    sa.Column('password_expires_at', db.UtcDateTime(), nullable=True),
    sa.Column('options', db.JsonText(), nullable=False),
    sa.Column('extra', db.JsonText(), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_users')),
    sa.UniqueConstraint('domain_id', 'name', name=op.f('uq_identity_users_domain_id_name'))
    )
    op.create_table('image_images',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=True),
    sa.Column('name', sa.String(length=255), nullable=True),
    sa.Column('status', sa.String(length=20), nullable=False),
    sa.Column('visibility', sa.String(length=20), nullable=False),
    sa.Column('protected', sa.Boolean(), nullable=False),
    sa.Column('os_hidden', sa.Boolean(), nullable=False),
    sa.Column('container_format', sa.String(length=20), nullable=True),
    sa.Column('disk_format', sa.String(length=20), nullable=True),
    sa.Column('min_disk', sa.Integer(), nullable=False),
    sa.Column('min_ram', sa.Integer(), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=True),
    sa.Column('virtual_size', sa.BigInteger(), nullable=True),
    sa.Column('checksum', sa.String(length=32), nullable=True),
    sa.Column('os_hash_value', sa.String(length=128), nullable=True),
    sa.Column('upload', sa.String(length=36), nullable=True),
    sa.Column('staged', db.JsonText(), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_image_images'))
    )
    with op.batch_alter_table('image_images', schema=None) as batch_op:
        batch_op.create_index('ix_image_images_created', ['created_at', 'id'], unique=False)
        batch_op.create_index(batch_op.f('ix_image_images_project_id'), ['project_id'], unique=False)

    op.create_table('image_tasks',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('image_id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=True),
    sa.Column('user_id', sa.String(length=64), nullable=True),
    sa.Column('request_id', sa.String(length=64), nullable=False),
    sa.Column('status', sa.String(length=20), nullable=False),
    sa.Column('input', db.JsonText(), nullable=False),
    sa.Column('message', sa.String(length=4000), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_image_tasks'))
    )
    with op.batch_alter_table('image_tasks', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_image_tasks_image_id'), ['image_id'], unique=False)

    op.create_table('network_address_scopes',
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('ip_version', sa.Integer(), nullable=False),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=255), nullable=False),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.Column('revision_number', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_network_address_scopes'))
    )
    with op.batch_alter_table('network_address_scopes', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_network_address_scopes_project_id'), ['project_id'], unique=False)

    op.create_table('network_addresses',
    sa.Column('network_id', sa.String(length=36), nullable=False),
    sa.Column('ip', sa.String(length=64), nullable=False),
    sa.Column('subnet_id', sa.String(length=36), nullable=False),
    sa.Column('port_id', sa.String(length=36), nullable=False),
    sa.Column('offset', sa.BigInteger(), nullable=True),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('network_id', 'ip', name=op.f('pk_network_addresses'))
    )
    with op.batch_alter_table('network_addresses', schema=None) as batch_op:
        batch_op.create_index('ix_network_addresses_offset', ['subnet_id', 'offset'], unique=False)
        batch_op.create_index(batch_op.f('ix_network_addresses_port_id'), ['port_id'], unique=False)

    op.create_table('network_default_groups',
    sa.Column('project_id', sa.String(length=255), nullable=False),
    sa.Column('group_id', sa.String(length=36), nullable=False),
    sa.PrimaryKeyConstraint('project_id', name=op.f('pk_network_default_groups')),
    sa.UniqueConstraint('group_id', name=op.f('uq_network_default_groups_group_id'))
    )
    op.create_table('network_floating_ips',
    sa.Column('floating_network_id', sa.String(length=36), nullable=False),
    sa.Column('floating_ip_address', sa.String(length=64), nullable=False),
    sa.Column('floating_port_id', sa.String(length=36), nullable=False),
    sa.Column('port_id', sa.String(length=36), nullable=True),
    sa.Column('fixed_ip_address', sa.String(length=64), nullable=True),
    sa.Column('router_id', sa.String(length=36), nullable=True),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('dns_name', sa.String(length=255), nullable=False),
    sa.Column('dns_domain', sa.String(length=255), nullable=False),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=255), nullable=False),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.Column('revision_number', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_network_floating_ips'))
    )
    with op.batch_alter_table('network_floating_ips', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_network_floating_ips_floating_ip_address'), ['floating_ip_address'], unique=False)
        batch_op.create_index(batch_op.f('ix_network_floating_ips_floating_network_id'), ['floating_network_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_network_floating_ips_port_id'), ['port_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_network_floating_ips_project_id'), ['project_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_network_floating_ips_router_id'), ['router_id'], unique=False)

    op.create_table('network_host_states',
    sa.Column('host', sa.String(length=255), nullable=False),
    sa.Column('boot_id', sa.String(length=64), nullable=False),
    sa.Column('told_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('host', name=op.f('pk_network_host_states'))
    )
    op.create_table('network_host_work',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('host', sa.String(length=255), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('resource_id', sa.String(length=36), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_network_host_work'))
    )
    with op.batch_alter_table('network_host_work', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_network_host_work_host'), ['host'], unique=False)

    op.create_table('network_networks',
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('admin_state_up', sa.Boolean(), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('mtu', sa.Integer(), nullable=False),
    sa.Column('port_security_enabled', sa.Boolean(), nullable=False),
    sa.Column('is_default', sa.Boolean(), nullable=False),
    sa.Column('network_type', sa.String(length=32), nullable=False),
    sa.Column('physical_network', sa.String(length=64), nullable=True),
    sa.Column('segmentation_id', sa.Integer(), nullable=True),
    sa.Column('dns_domain', sa.String(length=255), nullable=False),
    sa.Column('availability_zone_hints', db.JsonText(), nullable=False),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=255), nullable=False),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.Column('revision_number', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_network_networks')),
    sa.UniqueConstraint('network_type', 'physical_network', 'segmentation_id', name=op.f('uq_network_networks_network_type_physical_network_segmentation_id'))
    )
    with op.batch_alter_table('network_networks', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_network_networks_name'), ['name'], unique=False)
        batch_op.create_index(batch_op.f('ix_network_networks_project_id'), ['project_id'], unique=False)

    op.create_table('network_port_security_groups',
    sa.Column('port_id', sa.String(length=36), nullable=False),
    sa.Column('group_id', sa.String(length=36), nullable=False),
    sa.PrimaryKeyConstraint('port_id', 'group_id', name=op.f('pk_network_port_security_groups'))
    )
    with op.batch_alter_table('network_port_security_groups', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_network_port_security_groups_group_id'), ['group_id'], unique=False)

    op.create_table('network_ports',
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('network_id', sa.String(length=36), nullable=False),
    sa.Column('mac_address', sa.String(length=32), nullable=False),
    sa.Column('admin_state_up', sa.Boolean(), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('device_id', sa.String(length=255), nullable=False),
    sa.Column('device_owner', sa.String(length=255), nullable=False),
    sa.Column('port_security_enabled', sa.Boolean(), nullable=False),
    sa.Column('allowed_address_pairs', db.JsonText(), nullable=False),
    sa.Column('extra_dhcp_opts', db.JsonText(), nullable=False),
    sa.Column('dns_name', sa.String(length=255), nullable=False),
    sa.Column('dns_domain', sa.String(length=255), nullable=False),
    sa.Column('binding_host', sa.String(length=255), nullable=False),
    sa.Column('vnic_type', sa.String(length=64), nullable=False),
    sa.Column('binding_profile', db.JsonText(), nullable=False),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=255), nullable=False),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.Column('revision_number', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_network_ports')),
    sa.UniqueConstraint('network_id', 'mac_address', name=op.f('uq_network_ports_network_id_mac_address'))
    )
    with op.batch_alter_table('network_ports', schema=None) as batch_op:
        batch_op.create_index('ix_network_ports_device', ['device_id', 'device_owner'], unique=False)
        batch_op.create_index('ix_network_ports_host', ['binding_host', 'network_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_network_ports_project_id'), ['project_id'], unique=False)

    op.create_table('network_routers',
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('admin_state_up', sa.Boolean(), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('gateway_port_id', sa.String(length=36), nullable=True),
    sa.Column('gateway_network_id', sa.String(length=36), nullable=True),
    sa.Column('enable_snat', sa.Boolean(), nullable=False),
    sa.Column('routes', db.JsonText(), nullable=False),
    sa.Column('availability_zone_hints', db.JsonText(), nullable=False),
    sa.Column('host', sa.String(length=255), nullable=False),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=255), nullable=False),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.Column('revision_number', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_network_routers'))
    )
    with op.batch_alter_table('network_routers', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_network_routers_gateway_network_id'), ['gateway_network_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_network_routers_host'), ['host'], unique=False)
        batch_op.create_index(batch_op.f('ix_network_routers_project_id'), ['project_id'], unique=False)

    op.create_table('network_security_group_rules',
    sa.Column('security_group_id', sa.String(length=36), nullable=False),
    sa.Column('direction', sa.String(length=8), nullable=False),
    sa.Column('ethertype', sa.String(length=8), nullable=False),
    sa.Column('protocol', sa.String(length=32), nullable=True),
    sa.Column('port_range_min', sa.Integer(), nullable=True),
    sa.Column('port_range_max', sa.Integer(), nullable=True),
    sa.Column('remote_ip_prefix', sa.String(length=64), nullable=True),
    sa.Column('remote_group_id', sa.String(length=36), nullable=True),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=255), nullable=False),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.Column('revision_number', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_network_security_group_rules'))
    )
    with op.batch_alter_table('network_security_group_rules', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_network_security_group_rules_project_id'), ['project_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_network_security_group_rules_remote_group_id'), ['remote_group_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_network_security_group_rules_security_group_id'), ['security_group_id'], unique=False)

    op.create_table('network_security_groups',
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('stateful', sa.Boolean(), nullable=False),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=255), nullable=False),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.Column('revision_number', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_network_security_groups'))
    )
    with op.batch_alter_table('network_security_groups', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_network_security_groups_project_id'), ['project_id'], unique=False)

    op.create_table('network_shares',
    sa.Column('object_type', sa.String(length=32), nullable=False),
    sa.Column('object_id', sa.String(length=36), nullable=False),
    sa.Column('target_project', sa.String(length=255), nullable=False),
    sa.Column('action', sa.String(length=64), nullable=False),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=255), nullable=False),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.Column('revision_number', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_network_shares')),
    sa.UniqueConstraint('object_type', 'object_id', 'target_project', 'action', name=op.f('uq_network_shares_object_type_object_id_target_project_action'))
    )
    with op.batch_alter_table('network_shares', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_network_shares_project_id'), ['project_id'], unique=False)

    op.create_table('network_stamp',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('value', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_network_stamp'))
    )
    op.create_table('network_subnet_pools',
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('ip_version', sa.Integer(), nullable=False),
    sa.Column('prefixes', db.JsonText(), nullable=False),
    sa.Column('min_prefixlen', sa.Integer(), nullable=False),
    sa.Column('max_prefixlen', sa.Integer(), nullable=False),
    sa.Column('default_prefixlen', sa.Integer(), nullable=False),
    sa.Column('default_quota', sa.Integer(), nullable=True),
    sa.Column('address_scope_id', sa.String(length=36), nullable=True),
    sa.Column('is_default', sa.Boolean(), nullable=False),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=255), nullable=False),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.Column('revision_number', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_network_subnet_pools'))
    )
    with op.batch_alter_table('network_subnet_pools', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_network_subnet_pools_address_scope_id'), ['address_scope_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_network_subnet_pools_project_id'), ['project_id'], unique=False)

    op.create_table('network_subnets',
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('network_id', sa.String(length=36), nullable=False),
    sa.Column('ip_version', sa.Integer(), nullable=False),
    sa.Column('cidr', sa.String(length=64), nullable=False),
    sa.Column('gateway_ip', sa.String(length=64), nullable=True),
    sa.Column('enable_dhcp', sa.Boolean(), nullable=False),
    sa.Column('allocation_pools', db.JsonText(), nullable=False),
    sa.Column('dns_nameservers', db.JsonText(), nullable=False),
    sa.Column('host_routes', db.JsonText(), nullable=False),
    sa.Column('ipv6_ra_mode', sa.String(length=16), nullable=True),
    sa.Column('ipv6_address_mode', sa.String(length=16), nullable=True),
    sa.Column('subnetpool_id', sa.String(length=36), nullable=True),
    sa.Column('service_types', db.JsonText(), nullable=False),
    sa.Column('dns_publish_fixed_ip', sa.Boolean(), nullable=False),
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=255), nullable=False),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.Column('revision_number', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_network_subnets'))
    )
    with op.batch_alter_table('network_subnets', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_network_subnets_network_id'), ['network_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_network_subnets_project_id'), ['project_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_network_subnets_subnetpool_id'), ['subnetpool_id'], unique=False)

    op.create_table('object_store_accounts',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('name', db.ByteString(1024), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('headers', db.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_object_store_accounts')),
    sa.UniqueConstraint('name', name=op.f('uq_object_store_accounts_name'))
    )
    op.create_table('object_store_discards',
    sa.Column('blob', sa.String(length=80), nullable=False),
    sa.PrimaryKeyConstraint('blob', name=op.f('pk_object_store_discards'))
    )
    op.create_table('operation_steps',
    sa.Column('operation_id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('state', sa.String(length=10), nullable=False),
    sa.Column('result', sa.Text(), nullable=True),
    sa.Column('undone', sa.Boolean(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('command', sa.String(length=120), nullable=True),
    sa.Column('host', sa.String(length=255), nullable=True),
    sa.Column('started_at', db.UtcDateTime(), nullable=False),
    sa.Column('finished_at', db.UtcDateTime(), nullable=True),
    sa.PrimaryKeyConstraint('operation_id', 'name', name=op.f('pk_operation_steps'))
    )
    op.create_table('operations',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('kind', sa.String(length=80), nullable=False),
    sa.Column('resource', sa.String(length=160), nullable=False),
    sa.Column('live_resource', sa.String(length=170), nullable=True),
    sa.Column('input', sa.Text(), nullable=False),
    sa.Column('state', sa.String(length=10), nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('lease_owner', sa.String(length=200), nullable=True),
    sa.Column('lease_expires_at', db.UtcDateTime(), nullable=True),
    sa.Column('deadline', db.UtcDateTime(), nullable=False),
    sa.Column('next_attempt_at', db.UtcDateTime(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('after', sa.String(length=36), nullable=True),
    sa.Column('progress', sa.Text(), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('alarm', sa.Text(), nullable=True),
    sa.Column('request_id', sa.String(length=64), nullable=True),
    sa.Column('user_id', sa.String(length=64), nullable=True),
    sa.Column('project_id', sa.String(length=64), nullable=True),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.Column('finished_at', db.UtcDateTime(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_operations')),
    sa.UniqueConstraint('live_resource', name=op.f('uq_operations_live_resource'))
    )
    with op.batch_alter_table('operations', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_operations_request_id'), ['request_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_operations_resource'), ['resource'], unique=False)
        batch_op.create_index('ix_operations_state_finished_at', ['state', 'finished_at'], unique=False)

    op.create_table('placement_allocations',
    sa.Column('consumer_uuid', sa.String(length=36), nullable=False),
    sa.Column('provider_uuid', sa.String(length=36), nullable=False),
    sa.Column('resource_class', sa.String(length=255), nullable=False),
    sa.Column('used', sa.Integer(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('consumer_uuid', 'provider_uuid', 'resource_class', name=op.f('pk_placement_allocations'))
    )
    with op.batch_alter_table('placement_allocations', schema=None) as batch_op:
        batch_op.create_index('ix_placement_allocations_stock', ['provider_uuid', 'resource_class'], unique=False)

    op.create_table('placement_consumers',
    sa.Column('uuid', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=255), nullable=False),
    sa.Column('user_id', sa.String(length=255), nullable=False),
    sa.Column('type', sa.String(length=255), nullable=True),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('uuid', name=op.f('pk_placement_consumers'))
    )
    with op.batch_alter_table('placement_consumers', schema=None) as batch_op:
        batch_op.create_index('ix_placement_consumers_project', ['project_id', 'user_id'], unique=False)

    op.create_table('placement_inventories',
    sa.Column('provider_uuid', sa.String(length=36), nullable=False),
    sa.Column('resource_class', sa.String(length=255), nullable=False),
    sa.Column('total', sa.Integer(), nullable=False),
    sa.Column('reserved', sa.Integer(), nullable=False),
    sa.Column('min_unit', sa.Integer(), nullable=False),
    sa.Column('max_unit', sa.Integer(), nullable=False),
    sa.Column('step_size', sa.Integer(), nullable=False),
    sa.Column('allocation_ratio', sa.Double(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('provider_uuid', 'resource_class', name=op.f('pk_placement_inventories'))
    )
    with op.batch_alter_table('placement_inventories', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_placement_inventories_resource_class'), ['resource_class'], unique=False)

    op.create_table('placement_provider_aggregates',
    sa.Column('provider_uuid', sa.String(length=36), nullable=False),
    sa.Column('aggregate_uuid', sa.String(length=36), nullable=False),
    sa.PrimaryKeyConstraint('provider_uuid', 'aggregate_uuid', name=op.f('pk_placement_provider_aggregates'))
    )
    with op.batch_alter_table('placement_provider_aggregates', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_placement_provider_aggregates_aggregate_uuid'), ['aggregate_uuid'], unique=False)

    op.create_table('placement_provider_traits',
    sa.Column('provider_uuid', sa.String(length=36), nullable=False),
    sa.Column('trait', sa.String(length=255), nullable=False),
    sa.PrimaryKeyConstraint('provider_uuid', 'trait', name=op.f('pk_placement_provider_traits'))
    )
    with op.batch_alter_table('placement_provider_traits', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_placement_provider_traits_trait'), ['trait'], unique=False)

    op.create_table('placement_providers',
    sa.Column('uuid', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('parent_uuid', sa.String(length=36), nullable=True),
    sa.Column('root_uuid', sa.String(length=36), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('uuid', name=op.f('pk_placement_providers')),
    sa.UniqueConstraint('name', name=op.f('uq_placement_providers_name'))
    )
    with op.batch_alter_table('placement_providers', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_placement_providers_parent_uuid'), ['parent_uuid'], unique=False)
        batch_op.create_index(batch_op.f('ix_placement_providers_root_uuid'), ['root_uuid'], unique=False)

    op.create_table('placement_resource_classes',
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_placement_resource_classes'))
    )
    op.create_table('placement_traits',
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_placement_traits'))
    )
    op.create_table('quota_limits',
    sa.Column('project_id', sa.String(length=80), nullable=False),
    sa.Column('service', sa.String(length=40), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('hard_limit', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('project_id', 'service', 'name', name=op.f('pk_quota_limits'))
    )
    op.create_table('reconcilers',
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('lease_owner', sa.String(length=200), nullable=True),
    sa.Column('lease_expires_at', db.UtcDateTime(), nullable=True),
    sa.Column('last_run_at', db.UtcDateTime(), nullable=True),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_reconcilers'))
    )
    op.create_table('requests',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('method', sa.String(length=10), nullable=False),
    sa.Column('path', sa.String(length=1000), nullable=False),
    sa.Column('status', sa.Integer(), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=True),
    sa.Column('user_id', sa.String(length=64), nullable=True),
    sa.Column('global_request_id', sa.String(length=64), nullable=True),
    sa.Column('replays', sa.String(length=64), nullable=True),
    sa.Column('at', db.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_requests'))
    )
    with op.batch_alter_table('requests', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_requests_at'), ['at'], unique=False)

    op.create_table('resource_tags',
    sa.Column('resource_id', sa.String(length=36), nullable=False),
    sa.Column('tag', sa.String(length=255), nullable=False),
    sa.PrimaryKeyConstraint('resource_id', 'tag', name=op.f('pk_resource_tags'))
    )
    op.create_table('image_members',
    sa.Column('image_id', sa.String(length=36), nullable=False),
    sa.Column('member_id', sa.String(length=255), nullable=False),
    sa.Column('status', sa.String(length=20), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['image_id'], ['image_images.id'], name=op.f('fk_image_members_image_id_image_images'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('image_id', 'member_id', name=op.f('pk_image_members'))
    )
    with op.batch_alter_table('image_members', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_image_members_member_id'), ['member_id'], unique=False)

    op.create_table('image_properties',
    sa.Column('image_id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('value', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['image_id'], ['image_images.id'], name=op.f('fk_image_properties_image_id_image_images'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('image_id', 'name', name=op.f('pk_image_properties'))
    )
    with op.batch_alter_table('image_properties', schema=None) as batch_op:
        batch_op.create_index('ix_image_properties_name', ['name', 'image_id'], unique=False)

    op.create_table('image_tags',
    sa.Column('image_id', sa.String(length=36), nullable=False),
    sa.Column('tag', sa.String(length=255), nullable=False),
    sa.ForeignKeyConstraint(['image_id'], ['image_images.id'], name=op.f('fk_image_tags_image_id_image_images'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('image_id', 'tag', name=op.f('pk_image_tags'))
    )
    with op.batch_alter_table('image_tags', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_image_tags_tag'), ['tag'], unique=False)

    op.create_table('object_store_containers',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('account_id', sa.Integer(), nullable=False),
    sa.Column('name', db.ByteString(1024), nullable=False),
    sa.Column('created_at', db.UtcDateTime(), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.Column('headers', db.JsonText(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['object_store_accounts.id'], name=op.f('fk_object_store_containers_account_id_object_store_accounts')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_object_store_containers')),
    sa.UniqueConstraint('account_id', 'name', name=op.f('uq_object_store_containers_account_id_name'))
    )
    op.create_table('object_store_objects',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('container_id', sa.Integer(), nullable=False),
    sa.Column('name', db.ByteString(1024), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('own_bytes', sa.BigInteger(), nullable=False),
    sa.Column('etag', sa.String(length=32), nullable=False),
    sa.Column('content_type', sa.String(length=1024), nullable=False),
    sa.Column('updated_at', db.UtcDateTime(), nullable=False),
    sa.Column('headers', db.JsonText(), nullable=False),
    sa.Column('blob', sa.String(length=80), nullable=True),
    sa.Column('segments', db.JsonText(), nullable=True),
    sa.Column('delete_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['container_id'], ['object_store_containers.id'], name=op.f('fk_object_store_objects_container_id_object_store_containers')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_object_store_objects')),
    sa.UniqueConstraint('blob', name=op.f('uq_object_store_objects_blob')),
    sa.UniqueConstraint('container_id', 'name', name=op.f('uq_object_store_objects_container_id_name'))
    )
    with op.batch_alter_table('object_store_objects', schema=None) as batch_op:
        batch_op.create_index('ix_object_store_objects_delete_at', ['delete_at'], unique=False)
        batch_op.create_index('ix_object_store_objects_usage', ['container_id', 'own_bytes'], unique=False)

    # ### end Alembic commands ###
