"""What a written page holds."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def chunks_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'<script type="text/plain" data-chunk="([^"]+)">([^<]*)</script>', page))
