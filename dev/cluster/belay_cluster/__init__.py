"""The developer's driver: builds a real Kubernetes and Belay's images, starts them, and takes them away again.

Needs Python 3.11 and nothing else, so that it runs before anything is installed. Read `__main__.py` for the commands,
`local.py` for what a cluster consists of, and `../README.md` for the traps that shaped it.
"""
