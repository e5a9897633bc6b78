"""`asymrl search`: find the best settings of each method on validation questions in a budget."""

import typer

from asymrl.commands import Settings


def search(settings: Settings = None) -> None:
    """Find the best learning rate, or other settings, of each method on validation questions.

    asymrl search 'optim.lr=interval(1e-5,1e-3)'                    8 trials of one arm each

    asymrl search 'algorithm=grpo,asymre' 'optim.lr=interval(1e-5,1e-3)' search.trials=12

    asymrl search seed=0,1 'baseline=interval(-0.5,0)' search.spread=8   evenly spread values

    Every combination of comma-separated values but seeds is a method with its own budget. The
    accuracy of a trial is the mean over seeds. Trials share rollouts, and their arms are those of
    'asymrl sweep' with the same settings. The same command resumes a search that was killed.
    """
    from asymrl.overrides import prepared
    from asymrl.remembered import kept
    from asymrl.words import is_interval, only_prints

    given = list(settings or [])
    plain = prepared("search", [word for word in given if not is_interval(word)])
    if only_prints(plain.overrides):
        from asymrl.commands import print_configuration

        print_configuration(plain.overrides)
        return
    from asymrl.search import composed_arms, parse_interval, print_searches, search_arms

    intervals = [parse_interval(word) for word in given if is_interval(word)]
    arms = composed_arms(plain.overrides, intervals)
    with kept(arms, plain.asked):
        records = search_arms(arms, intervals, overrides=plain.overrides)
    print_searches(records)
    if any(record.best is None for record in records):
        raise typer.Exit(1)
