"""How a recorded intent becomes traffic, one file per way, behind the protocol in `router.py`."""
