"""The story of one hot wallet: served term after term by a single planner, until people must look at it.

Names for its callers: update `carry_out` and signal `procedure` (a procedure with its endorsements), query `status`.
An update that is refused raises ApplicationError whose `type` is the code: ENDORSEMENTS_MISSING, SLOT_NOT_OPEN ...
"""

from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    import workflows.letters as letters  # noqa: PLR0402 - the sandbox loads `from workflows import` anew for each run
    from activities.books import BooksActivities, Ordered
    from activities.chain import ChainActivities, ProofOrder
    from activities.failures import refusal, told
    from activities.hot_wallet import HotWalletActivities, ServeOrder
    from domain.errors import Refused
    from domain.payout import Consumption
    from domain.ports import ProcedureNote
    from domain.procedure import WHY_NOT, Endorsed, Kind, Procedure
    from workflows.options import BOOKS, on, serving, titled
    from workflows.state import HotWalletOrder, HotWalletStatus

# The server takes summaries of 200 bytes.
SUMMARY_MAX = 100


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
            self._detail(f"**HALTED**: {note.halted}\n\nTwo people endorse a RESUME once they looked into it.")
            # One given before this halt does not count in the books: the next term then finds the wallet halted still.
            await workflow.wait_condition(lambda: self._resumed)
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(HotWalletOrder(order.network, order.wallet, note))

    @workflow.update(description="Carry out a procedure about the wallet or one of its slots; answers its worth.")
    async def carry_out(self, *words: Any) -> ProcedureNote:
        try:
            note = await self._taken(letters.endorsed(words))
        except letters.Unreadable as why:
            raise told(Refused("PROCEDURE_MALFORMED", f"This is no procedure: {why}.")) from None
        except ActivityError as error:
            if (refused := refusal(error)) is not None:
                raise told(refused) from error
            raise
        if not note.taken:
            raise told(Refused(note.code, WHY_NOT[note.code], endorsers=", ".join(note.endorsers), needed=note.needed))
        return note

    @workflow.signal(description='The same as a letter: {"procedure": {...}, "endorsements": [...]}.')
    async def procedure(self, *words: Any) -> None:
        try:
            note = await self._taken(letters.endorsed(words))
        except letters.Unreadable as why:
            workflow.logger.warning("a procedure was not understood: %s", why)
        except ActivityError as error:
            workflow.logger.error("a procedure was not recorded: %s", error.cause)
        else:
            workflow.logger.info("procedure %s: %s", note.hash, note.code)

    async def _taken(self, endorsed: Endorsed) -> ProcedureNote:
        """What the books say of the procedure; a RESUME that they took wakes the wallet."""
        asked = endorsed.procedure
        proof = await self._proof(asked) if asked.kind == Kind.REPLAN else None
        order = Ordered(self._order.network, self._order.wallet, endorsed, workflow.now(), proof)
        how = titled(BOOKS, f"{asked.kind} {asked.subject}"[:SUMMARY_MAX])
        note = await workflow.execute_activity_method(BooksActivities.take_procedure, order, **how)
        self._resumed = self._resumed or (note.taken and asked.kind == Kind.RESUME)
        return note

    async def _proof(self, asked: Procedure) -> Consumption | None:
        """What the chain says now of the stranger that is said to have consumed a slot."""
        network = self._order.network
        order = ProofOrder(network, self._order.wallet, asked.subject, asked.rests_on)
        return await workflow.execute_activity_method(ChainActivities.prove_consumed, order, **on(network))

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
