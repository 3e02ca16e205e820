"""What settles the drift of servers: guests on their hosts, their devices, rows that nobody needs any more."""
