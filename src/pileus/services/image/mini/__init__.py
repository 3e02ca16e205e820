"""pileus-mini, the guest image that every cloud starts with, made from Debian packages in seconds.

One rule: only the host's package tools are needed, no privilege, no mount, no download from anywhere else.
Start reading at `build.py`.
"""

from pileus.services.image.mini.build import HOST_PACKAGES, MiniImage, build_mini

__all__ = ["HOST_PACKAGES", "MiniImage", "build_mini"]
