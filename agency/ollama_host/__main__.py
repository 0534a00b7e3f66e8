"""Starts the host alone: python -m agency.ollama_host --generation B --port 0 --store DIR"""

import argparse

from agency.ollama_host import serve

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="agency.ollama_host", description=serve.__doc__)
    serve.add_arguments(parser)
    serve.run(parser.parse_args())
