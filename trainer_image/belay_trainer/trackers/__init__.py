"""Where metrics go: one file per destination behind one small protocol."""
