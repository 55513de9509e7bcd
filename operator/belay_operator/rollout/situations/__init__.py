"""One file per situation a rollout can be in, all with the same two functions, none importing another.

    act(observed, now)      what is done about it: the next recorded status, or None
    explain(observed, now)  what is told of it: the wait of the Ready condition, or None where it does not hold

A situation that only does or only tells has only that function. `decide` lists them in the order in which they are
asked; whoever looks for what happens when stable is lost opens the file of that name.
"""
