"""`holdfast subscriber`: who is told of incidents and maintenance, and what is on its way to them."""

from collections.abc import Callable
from typing import Annotated

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import print_json, print_table, told
from holdfast.interfaces.cli.ports import Commands
from holdfast.interfaces.cli.subscribing import Subscriber

Which = Annotated[str, typer.Argument(metavar="ID|ADDRESS", help="A subscription's id, or a whole address.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many, the newest first.")]


def build(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="Subscribers: who is told, and what waits for them.", no_args_is_help=True)

    @app.command("list")
    def list_(config: Config, data_dir: DataDir, limit: Limit = 100, as_json: AsJson = False) -> None:
        """Show subscriptions. Addresses are shown in part only."""
        with told(as_json=as_json):
            found = commands().subscriber_list(place(config, data_dir), limit)
        if as_json:
            print_json([_plain(each) for each in found])
            return
        headings = ("id", "channel", "address", "standing", "language", "since", "told of")
        print_table(dict.fromkeys(headings, "left"), [_row(each) for each in found])

    @app.command()
    def stats(config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Count subscriptions, and what is not delivered yet."""
        with told(as_json=as_json):
            counted = commands().subscriber_stats(place(config, data_dir))
        subscriptions = [
            {"channel": channel.value, "standing": standing.value, "subscriptions": count}
            for (channel, standing), count in sorted(counted.counts.items())
        ]
        waiting = [
            {
                "channel": each.channel.value,
                "waiting": each.deliveries,
                "oldest": each.oldest.isoformat(),
                "last_error": each.last_error,
            }
            for each in counted.waiting
        ]
        if as_json:
            print_json({"subscriptions": subscriptions, "waiting": waiting})
            return
        headings = ("channel", "standing", "subscriptions")
        rows = [tuple(str(each[name]) for name in headings) for each in subscriptions]
        print_table(dict.fromkeys(headings, "left"), rows)
        for late in waiting:
            why = f", last error: {late['last_error']}" if late["last_error"] else ""
            typer.echo(f"{late['channel']}: {late['waiting']} wait, the oldest since {late['oldest']}{why}")

    @app.command()
    def remove(which: Which, config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """End a subscription, or all of an address: erases the address, and drops what waits for it."""
        with told(as_json=as_json):
            ended = commands().subscriber_remove(place(config, data_dir), which)
        if as_json:
            print_json({"ended": ended})
        else:
            typer.echo(f"{ended} ended, and the address erased")

    return app


def _plain(each: Subscriber) -> dict[str, object]:
    subscription = each.subscription
    return {
        "id": subscription.id,
        "channel": subscription.channel.value,
        "address": each.address,
        "standing": subscription.standing.value,
        "language": subscription.language,
        "created_at": subscription.created_at.isoformat(),
        "failing_since": subscription.failing_since and subscription.failing_since.isoformat(),
        "customer": subscription.customer,
        "topics": sorted(subscription.scope.topics),
        "component_ids": sorted(subscription.scope.component_ids),
        "cluster_keys": sorted(subscription.scope.cluster_keys),
    }


def _row(each: Subscriber) -> tuple[str, ...]:
    subscription = each.subscription
    scope = subscription.scope
    chosen = len(scope.component_ids) + len(scope.cluster_keys)
    return (
        subscription.id,
        subscription.channel.value,
        each.address,
        subscription.standing.value + (", failing" if subscription.failing_since else ""),
        subscription.language,
        f"{subscription.created_at:%Y-%m-%d}",
        ", ".join(sorted(scope.topics)) + (f" ({chosen} chosen)" if chosen else ""),
    )
