"""Found by a server that a test starts with this folder on PYTHONPATH: it says that it is another release.

MEETKEEPER_SAID_RELEASE and MEETKEEPER_SAID_PROTOCOL are what it says; it is this release all the same.
"""

import os

import meetkeeper
import meetkeeper.ha.words as words

meetkeeper.__version__ = os.environ.get("MEETKEEPER_SAID_RELEASE", meetkeeper.__version__)
words.PROTOCOL = int(os.environ.get("MEETKEEPER_SAID_PROTOCOL", words.PROTOCOL))
