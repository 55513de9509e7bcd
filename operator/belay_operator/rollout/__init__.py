"""RLRollout: which policy serves a route, and the way from one policy to the next.

Read in this order: `decide` (the chain of questions) · its links `commands`, `rollback`, `takeup`, `judging`,
`patience`, `prepare`, `progress` with `steps/`, `promote` · `build` and `traffic/` (the route that follows from status)
· `status` (conditions and phase) · `observe` (what all of them are given) · `sources/` (who measures) · `analysis/`
(the verdict).

Two rules hold it together. The route is a function of the recorded status: nothing else moves traffic, so recording the
intent *is* deciding, and writing the route can be repeated by anybody. And a link reads only what is recorded and what
is observed: it never matters which pass came before, or whether there was one.
"""
