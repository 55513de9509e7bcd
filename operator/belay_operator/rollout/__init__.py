"""RLRollout: which policy serves a route, and the way from one policy to the next.

A house of four floors; a pass walks once through it, from `observe` to `route`, and `decide` is the staircase:

    decide      the order of one pass
    situations  what a rollout can be in: what is done about it, what is told (one file each, none imports another)
    shared      verdicts · steps/ · gates · patience · stepping · withdrawal · promotion · route · status
    ground      observed · facts · wait · move · traffic/ (who carries requests) · sources/ (who measures) · analysis/

Two rules hold it together. The route is a function of the recorded status: nothing else moves traffic, so recording the
intent *is* deciding, and writing the route can be repeated by anybody. And a situation reads only what is recorded and
what is observed: it never matters which pass came before, or whether there was one.
"""
