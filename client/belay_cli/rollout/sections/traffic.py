"""Who gets how much of the traffic, and who else has pods."""

from collections.abc import Iterator

from belay_cli.rollout.page import Page, Rollout, digest


def lines(rollout: Rollout, page: Page) -> list[str]:
    """A line for each version, and where shares differ from what was asked for."""
    rows = list(_rows(rollout, page))
    if not rows:
        return []
    wide = [max(len(row[column]) for row in rows) for column in range(3)]
    of = "users" if rollout.by_user else "new episodes"
    made = [page.paint("Traffic", "bold") + f"  (shares of {of})"]
    for role, share, policy, words in rows:
        line = f"  {role:<{wide[0]}}  {share:>{wide[1]}}  {policy:<{wide[2]}}  {words}".rstrip()
        if len(line) > page.columns:
            made += [f"  {role:<{wide[0]}}  {share:>{wide[1]}}  {policy}", *page.wrap(words, indent=4)]
        else:
            made.append(line)
    return [*made, *_notes(rollout, page)]


def _rows(rollout: Rollout, page: Page) -> Iterator[tuple[str, str, str, str]]:
    status, weight = rollout.status, rollout.status.weight
    # Arms have their shares while nobody is the candidate; where stable is lost, Ready says who answers in its place.
    arms = {arm.policy: arm.weight if arm.on_route and status.candidate is None else 0 for arm in status.arms}
    lost = status.stable is not None and status.stable.lost_at is not None
    known = not lost and (weight is None or weight.applied is not None)
    candidate = 0.0 if weight is None or weight.applied is None else weight.applied
    alone = weight is not None and weight.segment is not None and weight.segment.alone
    anchor = 0.0 if weight is None or weight.anchor is None else weight.anchor
    if status.stable is not None:
        rest = 100 - sum(arms.values()) - anchor - (0 if alone else candidate)
        since = status.stable.lost_at
        state = f"stable {page.lasting(status.stable.since)}" if since is None else f"LOST {page.ago(since)}"
        words = f"{digest(status.stable.digest)}  {state}"
        yield "stable", f"{rest:g} %" if known else "?", status.stable.policy, words
    if status.candidate is not None and weight is not None and weight.segment is not None:
        segment = weight.segment
        words = f"of requests with {', '.join(f'{name}: {value}' for name, value in segment.headers.items())}"
        yield "candidate", f"{segment.weight:g} %", status.candidate.policy, words
    if status.candidate is not None and not alone:
        words = f"{digest(status.candidate.digest)}  on trial {page.lasting(status.candidate.since)}"
        yield "candidate", f"{candidate:g} %" if known else "?", status.candidate.policy, words
    for arm in status.arms:
        words = "" if arm.accepted else "not accepted yet"
        yield (
            "arm",
            f"{arms[arm.policy]} %",
            arm.policy,
            words or (f"pods {page.until(arm.until)}" if arm.until else ""),
        )
    if status.served_anchor is not None:
        yield "anchor", f"{anchor:g} %", status.served_anchor.policy, "approved last, compared with as well"
    if status.previous is not None:
        words = f"{digest(status.previous.digest)}  kept warm {page.until(status.previous.until)}"
        yield "previous", "0 %", status.previous.policy, words
    if status.kept is not None:
        yield "kept", "0 %", status.kept.policy, f"taken back, to be looked at {page.until(status.kept.until)}"


def _notes(rollout: Rollout, page: Page) -> list[str]:
    weight, step = rollout.status.weight, rollout.status.step
    said = []
    if weight is not None and weight.applied != weight.desired:
        accepted = "nothing yet" if weight.applied is None else f"{weight.applied:g} %"
        said.append(f"{weight.desired:g} % is asked for at the candidate; the gateway has accepted {accepted}.")
    if weight is not None and weight.pods is not None:
        pods = weight.pods
        said.append(
            f"Pods are the weight: {pods.candidate} of the candidate beside {pods.stable} of stable give it "
            f"{pods.percent:g} % of new connections."
        )
    if weight is not None and weight.observed is not None:
        said.append(f"The pods saw {weight.observed:.3g} % of the requests at the candidate.")
    if step is not None and step.mirror is not None:
        mirror = step.mirror
        refused = f", which the gateway refuses: {mirror.refused}" if mirror.refused else ""
        said.append(f"{mirror.percent} % of the requests are mirrored to the candidate, which answers nobody{refused}.")
    preview = ((rollout.spec.get("traffic") or {}).get("gatewayAPI") or {}).get("preview") or {}
    if names := preview.get("hostnames"):
        said.append(f"Preview at {', '.join(names)}: the header x-belay-policy of an answer says who gave it.")
    return page.wrap(" ".join(said)) if said else []
