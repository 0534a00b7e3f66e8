"""`python -m pipelines.work.child <terms> <module or script> ...`: confine this process, then become that module."""

import sys

from pipelines.work.child.sandbox import enter

enter(sys.argv[1:])
