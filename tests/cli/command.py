"""The installed `nat` script."""

import sys
from pathlib import Path

NAT = str(Path(sys.executable).with_name("nat"))
