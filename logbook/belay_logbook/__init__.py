"""The logbook: what training runs, decisions and episodes report, kept durably, and the built-in store.

`app.py` names every route; one file per subject answers it. See docs/reference/logbook-api.md.
"""
