"""The smallest guest: a sector that a BIOS starts, which does what a host may ask of an operating system, and sleeps.

It powers off when its power button is pressed and lets go of devices that are to be unplugged.  For QEMU's q35:
the registers are those of docs/specs/acpi_pci_hotplug.rst (at 0xcc0) and of ACPI's PM1 block (at 0x600).
"""

CODE = """
    fb                          sti                   the timer wakes it 18 times a second
    ba 02 06  b8 00 01  ef      0x602 <- 0x100        the power button is wanted
    f4                          hlt
    ba 00 06  ed  f6 c4 01      ax <- 0x600           has it been pressed?
    74 07                       jz unplug
    ba 04 06  b8 00 20  ef      0x604 <- 0x2000       then power off
    66 31 c9                    ecx <- 0              unplug: for each of 32 buses
    66 89 c8                    eax <- ecx
    ba d0 0c  66 ef             0xcd0 <- eax          choose it
    ba c4 0c  66 ed             eax <- 0xcc4          which devices are to go?
    66 85 c0  74 05             jz next
    ba c8 0c  66 ef             0xcc8 <- eax          let go of them
    41  83 f9 20  72 e3         next
    eb cd                       back to sleep
"""


def bootable_disk() -> bytes:
    """Return a raw disk of 4 KiB."""
    code = bytes.fromhex(" ".join(line[:28] for line in CODE.splitlines() if line))
    return code.ljust(510, b"\0") + b"\x55\xaa" + bytes(4096 - 512)
