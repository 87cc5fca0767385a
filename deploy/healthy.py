"""Container health: exits 0 if the k2x process in this container serves its metrics. `healthy.py PORT`."""

import sys
import urllib.request

with urllib.request.urlopen(f"http://127.0.0.1:{int(sys.argv[1])}/metrics", timeout=3) as answer:
    sys.exit(0 if answer.status == 200 else 1)
