"""The story of one hot wallet: served term after term by a single planner, until people must look at it.

Names for its callers: signal `resume` (`{"reason", "actors": [...]}`), query `status`.
"""

from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    import workflows.letters as letters  # noqa: PLR0402 - the sandbox loads `from workflows import` anew for each run
    from activities.books import BooksActivities, Resumption
    from activities.hot_wallet import HotWalletActivities, ServeOrder
    from workflows.options import BOOKS, serving
    from workflows.state import HotWalletOrder, HotWalletStatus


@workflow.defn(name="HotWallet")
class HotWalletWorkflow:
    """The single sender of one wallet."""

    @workflow.init
    def __init__(self, order: HotWalletOrder) -> None:
        self._order = order
        self._last = order.last
        self._resumed = False

    @workflow.run
    async def run(self, order: HotWalletOrder) -> None:
        self._detail("Served by one planner; its heartbeat shows how it goes.")
        note = await workflow.execute_activity_method(
            HotWalletActivities.serve, ServeOrder(order.network, order.wallet), **serving(order.network)
        )
        self._last = note
        if note.halted:
            self._detail(f"**HALTED**: {note.halted}\n\nSignal `resume` with a reason and who looked into it.")
            # One given before this halt does not count in the books: the next term then finds the wallet halted still.
            await workflow.wait_condition(lambda: self._resumed)
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(HotWalletOrder(order.network, order.wallet, note))

    @workflow.signal(description='Let a halted wallet go on: {"reason": "...", "actors": ["ann", "bob"]}.')
    async def resume(self, *words: Any) -> None:
        try:
            reason, actors = letters.resumption(words)
        except letters.Unreadable as why:
            workflow.logger.warning("a resumption was not understood: %s", why)
            return
        order = Resumption(self._order.network, self._order.wallet, reason, actors, workflow.now())
        try:
            await workflow.execute_activity_method(BooksActivities.resume_wallet, order, **BOOKS)
        except ActivityError as error:
            workflow.logger.error("the wallet was not resumed: %s", error.cause)
        else:
            self._resumed = True

    @workflow.query(description="The last term's note, and why the wallet is halted if it is.")
    def status(self) -> HotWalletStatus:
        return HotWalletStatus(self._last, self._last.halted if self._last else None)

    def _detail(self, says: str) -> None:
        note = self._last
        lines = [f"`{self._order.wallet}` on {self._order.network}.", says]
        if note:
            free = ", ".join(f"{coins} {asset}" for asset, coins in sorted(note.balances.items())) or "unknown"
            waiting = ", ".join(f"{count} {code}" for code, count in sorted(note.waiting.items())) or "none"
            lines.append(f"Free: {free}. In flight: {note.in_flight}. Waiting: {waiting}.")
        workflow.set_current_details("\n\n".join(lines))
