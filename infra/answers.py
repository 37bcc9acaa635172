"""Health check: exit 0 if an HTTP address of this container answers 200. Used as ``answers.py URL``."""

import sys
import urllib.error
import urllib.request

TIMEOUT_S = 5

# No proxy of the environment has a say in what this very container answers.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    with opener.open(sys.argv[1], timeout=TIMEOUT_S) as answer:
        sys.exit(0 if answer.status == 200 else 1)
except (urllib.error.URLError, OSError) as error:
    sys.exit(f"{sys.argv[1]}: {error}")
