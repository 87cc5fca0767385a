"""The sabotages: each breaks one promise of the sink in one place, and names the tests that must notice.

`old` must stand exactly once in `file`, so that a change of the code cannot leave a sabotage that does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

_XERO, _TESTS = "connectors/xero", "tests/connectors/xero"
_LANE, _DOUBT, _WAITING = (f"{_TESTS}/core/test_{name}.py::" for name in ("lane", "doubt", "waiting"))
_REISSUE = f"{_TESTS}/core/test_reissue.py::"
_UNPAID = f"{_TESTS}/core/test_unpaid.py::"
_REFUNDS = f"{_TESTS}/core/test_refunds.py::"
_SUMMARIES = f"{_TESTS}/core/test_summaries.py::"
_SUMMARY_ENDS = f"{_TESTS}/core/test_summary_ends.py::"
_SETTLEMENTS = f"{_TESTS}/core/test_settlements.py::"
_BUDGET, _CLIENT = f"{_TESTS}/test_budget.py::", f"{_TESTS}/test_client.py::"


@dataclass(frozen=True)
class Sabotage:
    """`breaks`: the promise, in words. `tests`: pytest ids, at least one of which must fail."""

    name: str
    breaks: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


SABOTAGES: tuple[Sabotage, ...] = (
    Sabotage(
        "intention_not_written",
        "a call leaves without its intention in the ledger",
        f"{_XERO}/core/planner.py",
        '            entry["contact_id"] = document.jobs[0].contact_id\n        desk.write(entry)\n',
        '            entry["contact_id"] = document.jobs[0].contact_id\n',
        (_DOUBT + "test_a_new_owner_waits_for_open_intentions_only",),
    ),
    Sabotage(
        "offset_before_ledger",
        "the offset moves past records whose outcome is not in the ledger",
        f"{_XERO}/core/desk.py",
        "            self.mark.offset,\n",
        "            self.mark._end,\n",
        (_DOUBT + "test_the_offset_never_passes_an_unfinished_record",),
    ),
    Sabotage(
        "key_reused_with_other_body",
        "two different requests go under one Idempotency-Key",
        f"{_XERO}/batch.py",
        'return f"k2x-{nonce[:24]}-{serial}-{sha[:48]}"',
        'return f"k2x-{nonce[:24]}-{path}-{sha[:0]}"',
        (_LANE + "test_a_known_customer_saves_the_contact_call",),
    ),
    Sabotage(
        "no_read_back_after_the_window",
        "an unclear call is repeated after Xero has forgotten its key",
        f"{_XERO}/core/troubles.py",
        "        if next_try <= batch.first_sent + self.desk.settings.key_window:\n",
        "        if next_try:\n",
        (_DOUBT + "test_however_long_the_answer_is_lost_there_is_one_payment",),
    ),
    Sabotage(
        "window_asked_only_once",
        "a repeat that was planned within the key's window goes long after it",
        f"{_XERO}/core/planner.py",
        "        if self.over(batch, now):  # it",
        "        if False:  # it",
        (_DOUBT + "test_a_repeat_that_an_outage_delays_past_the_keys_window_is_read_back_instead",),
    ),
    Sabotage(
        "500_repeated_under_its_key",
        "a 500 that Xero keeps under the key is asked for again and again",
        f"{_XERO}/outcomes.py",
        "    Doubt.SERVER_ERROR: Course.LOOK,",
        "    Doubt.SERVER_ERROR: Course.UNCLEAR,",
        (_DOUBT + "test_a_500_is_read_back_because_xero_keeps_it_under_the_key",),
    ),
    Sabotage(
        "lapse_ignored",
        "a call may leave long after its intention",
        f"{_XERO}/core/planner.py",
        "            send_by = (batch.intended_at or now) + settings.intention_lapse\n",
        "            send_by = (batch.intended_at or now) + 1e9\n",
        (_DOUBT + "test_no_byte_leaves_after_the_lapse_of_its_intention",),
    ),
    Sabotage(
        "late_bytes_leave",
        "the client does not look at the clock before the first byte",
        f"{_XERO}/wire.py",
        "        if now >= self.send_by:\n",
        "        if now >= self.send_by + 1e9:\n",
        (_CLIENT + "test_nothing_leaves_after_send_by",),
    ),
    Sabotage(
        "quarantine_ignored",
        "a new owner reads back while the old one's call may still arrive",
        f"{_XERO}/core/desk.py",
        "        former = self.takeover + self.settings.intention_lapse + self.settings.deadline\n",
        "        former = self.takeover\n",
        (
            _DOUBT + "test_a_new_owner_waits_for_open_intentions_only",
            _DOUBT + "test_what_left_late_from_a_dead_owner_is_still_found",
        ),
    ),
    Sabotage(
        "fence_after_ledger",
        "the old owner can still commit after the new one has read the ledger",
        f"{_XERO}/lane.py",
        "        self._log.fence()\n        takeover = self._clock.mono()\n"
        "        read = self._log.restore(store, self._closing.is_set)\n",
        "        read = self._log.restore(store, self._closing.is_set)\n"
        "        self._log.fence()\n        takeover = self._clock.mono()\n",
        (f"{_TESTS}/test_take_over.py::test_the_fence_comes_first_then_the_ledger_then_the_offset",),
    ),
    Sabotage(
        "revoked_lane_goes_on",
        "a lane whose organisation belongs to somebody else still sends",
        f"{_XERO}/core/lane.py",
        '            case Revoked():\n                self.closed = True\n                return [Close("revoked")]\n',
        "            case Revoked():\n                pass\n",
        (_LANE + "test_a_revoked_lane_does_nothing_more",),
    ),
    Sabotage(
        "aborted_transaction_forgotten",
        "what an aborted transaction held is never written again",
        f"{_XERO}/core/desk.py",
        "            results=lost.results + newer.results,\n",
        "            results=newer.results,\n",
        (_DOUBT + "test_an_aborted_transaction_is_written_again_whole",),
    ),
    Sabotage(
        "blocked_order_let_through",
        "a later version overtakes one that waits",
        f"{_XERO}/core/lane.py",
        '        elif head is not None or (entry is not None and entry["command"] is not None):\n',
        "        elif False:\n",
        (
            _DOUBT + "test_later_versions_wait_behind_a_waiting_order_in_the_ledger",
            _WAITING + "test_a_later_version_of_an_order_that_left_memory_waits_behind_it",
        ),
    ),
    Sabotage(
        "older_version_let_through",
        "a version below the posted one is not left alone",
        f"{_XERO}/core/sales.py",
        "        if version < posted or (version == posted and (finished or records.crediting(entry))):\n",
        "        if version == posted and finished:\n",
        (_LANE + "test_a_version_at_or_below_the_posted_one_is_left_alone",),
    ),
    Sabotage(
        "number_chosen_anew",
        "an order's invoice number follows the rules of the day",
        f"{_XERO}/core/sales.py",
        '        number = (entry["number"] if entry else None) or sale["number"]\n',
        '        number = sale["number"]\n',
        (_LANE + "test_the_number_is_chosen_once",),
    ),
    Sabotage(
        "foreign_invoice_adopted",
        "whatever has our number in Xero is taken for our order",
        f"{_XERO}/core/sales.py",
        "        differences = compare.invoice(_sale(job), job.contact_id, body)\n",
        "        differences: list[compare.Difference] = []\n",
        (_LANE + "test_another_invoice_under_our_number_is_a_conflict",),
    ),
    Sabotage(
        "payment_without_marker",
        "any payment on the invoice is taken for this tender's",
        f"{_XERO}/core/answers.py",
        "return next((row for row in living(document) if _marker(row) == marker.casefold()), None)",
        "return next(iter(living(document)), None)",
        (_DOUBT + "test_a_500_is_read_back_because_xero_keeps_it_under_the_key",),
    ),
    Sabotage(
        "repeat_with_another_token",
        "an unclear call is repeated with a token that Xero may not know its key by",
        f"{_XERO}/core/planner.py",
        '        token = batch.token_id if batch.dirty and batch.kind == "write" else None',
        '        token = batch.token_id if batch.dirty and batch.kind == "none" else None',
        (_DOUBT + "test_an_unclear_call_is_repeated_with_its_bytes_key_and_token",),
    ),
    Sabotage(
        "elements_by_position",
        "an answer's elements are taken in the order of the request",
        f"{_XERO}/core/answers.py",
        "        found = next((index[name] for name in _wanted(document) if name in index), [])\n",
        "        found = rows[list(documents).index(document) :][:1]\n",
        (_LANE + "test_one_bad_element_does_not_touch_the_others",),
    ),
    Sabotage(
        "letter_written_anew",
        "a dead letter's value is not the record's own bytes",
        f"{_XERO}/core/records.py",
        "    return Letter(job.key, job.value, headers)\n",
        '    return Letter(job.key, job.value + b"\\n", headers)\n',
        (_LANE + "test_one_bad_element_does_not_touch_the_others",),
    ),
    Sabotage(
        "paid_without_a_look_at_what_is_due",
        "an order counts as paid though Xero says that something is due",
        f"{_XERO}/core/sales.py",
        "        elif due != 0:\n",
        "        elif due is None:\n",
        (_LANE + "test_an_invoice_with_something_due_is_not_called_paid",),
    ),
    Sabotage(
        "waiting_order_stays_in_memory",
        "memory grows with the orders that wait",
        f"{_XERO}/core/troubles.py",
        "            desk.evict(job)\n",
        "            pass\n",
        (_WAITING + "test_an_order_that_waits_a_week_is_in_the_ledger_and_not_in_memory",),
    ),
    Sabotage(
        "minute_too_short",
        "61 calls fit into somebody's minute",
        f"{_XERO}/budget.py",
        "        self._window = self._whole + self._jitter\n",
        "        self._window = self._whole - 4 * self._jitter\n",
        (_BUDGET + "test_no_window_is_ever_overrun",),
    ),
    Sabotage(
        "six_at_once",
        "six calls are in flight",
        f"{_XERO}/budget.py",
        "        if self._in_flight >= cap or",
        "        if self._in_flight > cap or",
        (_BUDGET + "test_no_window_is_ever_overrun",),
    ),
    Sabotage(
        "day_reserve_spent",
        "writes use up the calls that are kept for read-backs",
        f"{_XERO}/budget.py",
        "        return self._remaining(now) - kept\n",
        "        return self._remaining(now) - 0 * kept\n",
        (_BUDGET + "test_writes_leave_the_reserve_of_the_day",),
    ),
    Sabotage(
        "refund_made_again",
        "a refund that comes again is made again",
        f"{_XERO}/core/refunds.py",
        """own["state"] == "POSTED" and own["status"] == "PAID":""",
        """own["state"] == "never":""",
        (_REFUNDS + "test_a_refund_that_comes_again_is_left_alone_without_a_call",),
    ),
    Sabotage(
        "refunds_exceed_the_sale",
        "what other refunds took of the invoice is forgotten",
        f"{_XERO}/core/records.py",
        """ - taken_by_others(sale, note["refund_id"])\n""",
        "\n",
        (_REFUNDS + "test_several_refunds_of_an_order_never_exceed_it",),
    ),
    Sabotage(
        "reissue_without_a_look",
        "an invoice is credited though Xero does not hold what the ledger says",
        f"{_XERO}/reversal.py",
        "    if found:\n        raise CannotBeTakenBack",
        "    if False:\n        raise CannotBeTakenBack",
        (_REISSUE + "test_an_invoice_that_is_not_what_the_ledger_says_is_held_with_the_reason",),
    ),
    Sabotage(
        "reissue_before_the_money_is_back",
        "the new invoice is sent while money of the former one is not given back",
        f"{_XERO}/core/credits.py",
        "        if not job.refused and left == 0:\n",
        "        if True:\n",
        (_REISSUE + "test_while_money_is_not_back_no_new_invoice_comes_and_refunds_wait",),
    ),
    Sabotage(
        "former_payment_key_reused",
        "a payment of the new invoice is taken for one of the former",
        f"{_XERO}/core/sales.py",
        'records.payment_key(job.command["key"], ordinal, records.generation(self.desk.entry(job.home)))',
        'records.payment_key(job.command["key"], ordinal)',
        (_REISSUE + "test_an_edited_order_is_credited_as_it_was_and_issued_anew",),
    ),
    Sabotage(
        "older_version_takes_the_new_number",
        "while an order is issued anew, an older version of it is posted instead",
        f"{_XERO}/core/records.py",
        "    return least is not None and version < datetime.fromisoformat(least)\n",
        "    return False\n",
        (_REISSUE + "test_a_refused_new_invoice_is_not_taken_by_an_older_version",),
    ),
    Sabotage(
        "refund_superseded",
        "a later version of an order takes the place of the refund that waits behind it",
        f"{_XERO}/core/desk.py",
        """            self.hold_refund(job, records.BEHIND, _BEHIND)\n""",
        "",
        (_REFUNDS + "test_refunds_behind_an_order_that_waits_are_all_kept_beside_its_newest_version",),
    ),
    Sabotage(
        "member_without_its_order",
        "a summary is said to hold an order whose own entry does not say so",
        f"{_XERO}/core/summaries.py",
        "        self.desk.write(self._kept(job, self.desk.fresh(job.home, records.ORDER), key, number))\n",
        "        self._kept(job, self.desk.fresh(job.home, records.ORDER), key, number)\n",
        (_SUMMARIES + "test_a_days_orders_are_one_invoice_and_each_is_told",),
    ),
    Sabotage(
        "summary_not_frozen",
        "what a summary holds is not on the log before its document leaves",
        f"{_XERO}/core/summary_work.py",
        "        job.value = self.encode(job.command)\n",
        "",
        (_SUMMARIES + "test_what_a_summary_holds_is_on_the_log_before_its_document_leaves",),
    ),
    Sabotage(
        "refunds_close_beside_their_sales",
        "refunds of a day's own orders come into a second credit note",
        f"{_XERO}/core/summaries.py",
        """            case "open" if job.parked and self._sales_under_way(job):\n""",
        """            case "open" if job.parked and not job:\n""",
        (_SUMMARY_ENDS + "test_refunds_of_a_days_own_orders_are_in_the_same_credit_note_as_all_others_of_that_day",),
    ),
    Sabotage(
        "refusal_told_again",
        "each redrive of a refused summary floods its orders with what they know",
        f"{_XERO}/core/summary_work.py",
        """            if member["extra"].get(WHY) != digest:\n""",
        """            if member["extra"].get(WHY) != "":\n""",
        (
            _SUMMARY_ENDS
            + "test_a_refused_summary_tells_each_of_its_orders_once_for_each_refusal_and_then_that_it_is_posted",
        ),
    ),
    Sabotage(
        "posted_summary_dated_anew",
        "the ledger says a date that the invoice in Xero has not",
        f"{_XERO}/core/summary_date.py",
        """    return own["intention"] is not None or own["xero_id"] is not None\n""",
        """    return own["intention"] is not None\n""",
        (_SUMMARY_ENDS + "test_a_lock_that_comes_between_invoice_and_payments_moves_the_payments_only",),
    ),
    Sabotage(
        "late_order_into_a_closed_summary",
        "a late order is counted into a document that Xero has already",
        f"{_XERO}/core/summaries.py",
        """            elif entry["extra"].get("phase") != OPEN:\n""",
        """            elif entry["extra"].get("phase") == "empty":\n""",
        (_SUMMARIES + "test_a_late_order_goes_into_a_supplement_and_never_into_a_closed_summary",),
    ),
    Sabotage(
        "closed_while_orders_come",
        "orders that come while a summary is added up are missing in its document",
        f"{_XERO}/core/summary_work.py",
        "        if self.closing.pop(home, None) is not None:\n",
        "        if self.closing.get(home) is None and False:\n",
        (_SUMMARIES + "test_an_order_that_comes_while_its_summary_is_added_up_is_in_the_document",),
    ),
    Sabotage(
        "refund_of_a_summary_without_its_share",
        "a refund in a day's credit note is not counted against its order",
        f"{_XERO}/core/summaries.py",
        """        taken["extra"] = {**taken["extra"], records.share(note["refund_id"]): note["total"]}\n""",
        "",
        (_SUMMARIES + "test_refunds_of_a_day_never_exceed_their_order",),
    ),
    Sabotage(
        "bank_documents_looked_for_by_reference",
        "what Xero has of a settlement is looked for by a filter that matches nothing, without a word",
        f"{_XERO}/batch.py",
        """    where = ("where", f"Date==DateTime({year},{month},{day})")\n""",
        """    where = ("where", f'Reference=="{document.natural}"')\n""",
        (_SETTLEMENTS + "test_after_a_500_its_day_is_looked_at_only_when_the_call_must_be_over",),
    ),
    Sabotage(
        "settlement_sent_again_without_a_look",
        "a new owner sends fees or a payout that its predecessor may have sent, and Xero takes both",
        f"{_XERO}/core/settlements.py",
        "        if entry is None:\n            self.desk.ready",
        "        if True:\n            self.desk.ready",
        (_SETTLEMENTS + "test_a_crash_after_the_intention_is_settled_by_a_look_at_the_day",),
    ),
    Sabotage(
        "absent_by_the_first_page",
        "a settlement counts as absent though only a part of its day's list was read",
        f"{_XERO}/core/answers.py",
        "            self.more = bool(rows) and len(seen) < count\n"
        "            self.whole = listed and not self.more and len(seen) == count",
        "            self.more = False\n            self.whole = listed or count",
        (_SETTLEMENTS + "test_absent_is_only_what_no_page_has",),
    ),
    Sabotage(
        "500_of_a_settlement_looked_at_too_soon",
        "after a 500 the day is looked at while its commit may still come",
        f"{_XERO}/core/troubles.py",
        "        if part_paid or batch.step in UNNUMBERED:\n",
        "        if part_paid:\n",
        (_SETTLEMENTS + "test_after_a_500_its_day_is_looked_at_only_when_the_call_must_be_over",),
    ),
    Sabotage(
        "other_settlement_under_a_posted_id",
        "a corrected payout under a posted id is taken for the same, or booked beside it",
        f"{_XERO}/core/settlements.py",
        '        if own is not None and known not in (None, body["money_hash"]) and self._begun(job):\n',
        "        if False:\n",
        (_SETTLEMENTS + "test_another_settlement_under_the_same_id_is_held_with_both_sides",),
    ),
    Sabotage(
        "foreign_bank_document_adopted",
        "whatever bears our marker in Xero is taken for our fees, whatever its money",
        f"{_XERO}/core/settlements.py",
        "            equal = [row for row in look.found if not self._differences(document, row)]\n",
        "            equal = look.found\n",
        (_SETTLEMENTS + "test_what_is_there_under_our_marker_with_other_money_is_a_conflict",),
    ),
    Sabotage(
        "a_part_paid_invoice_is_voided",
        "an invoice is voided though a payment stands on it",
        f"{_XERO}/core/unpaid.py",
        " and self._whole(job, sale) and not _spent(body):",
        " and self._whole(job, sale):",
        (
            _UNPAID
            + "test_of_a_partly_paid_sale_what_is_due_is_credited_and_what_was_paid_goes_back_where_it_came_from",
        ),
    ),
    Sabotage(
        "allocation_without_intention",
        "a credit note is allocated before the ledger says that it is to be",
        f"{_XERO}/core/planner.py",
        '            entry["contact_id"] = document.jobs[0].contact_id\n        desk.write(entry)\n',
        '            entry["contact_id"] = document.jobs[0].contact_id\n        if batch.step is not Step.ALLOCATION:\n'
        "            desk.write(entry)\n",
        (_UNPAID + "test_a_void_and_an_allocation_leave_only_after_their_intention_is_on_the_log",),
    ),
    Sabotage(
        "allocation_not_read_back",
        "an answer without an id is taken for an allocation",
        f"{_XERO}/core/allocations.py",
        "        if element.good:\n",
        "        if not element.errors:\n",
        (_UNPAID + "test_an_allocation_that_xero_calls_good_and_does_not_make_is_made_before_money_goes_back",),
    ),
    Sabotage(
        "allocation_of_any_amount_is_ours",
        "whatever stands on the invoice is taken for what was to stand there",
        f"{_XERO}/core/allocations.py",
        "if rows and there == amount:",
        "if rows:",
        (_UNPAID + "test_a_credit_note_that_a_person_has_put_to_the_invoice_otherwise_is_a_conflict",),
    ),
    Sabotage(
        "allocated_and_paid_back",
        "what was put to the invoice goes back to the customer as well",
        f"{_XERO}/core/unpaid.py",
        'parts = shared_out(note["payments"], total - onto, self._paid(job, sale))',
        'parts = shared_out(note["payments"], total, self._paid(job, sale))',
        (
            _UNPAID
            + "test_of_a_partly_paid_sale_what_is_due_is_credited_and_what_was_paid_goes_back_where_it_came_from",
        ),
    ),
    Sabotage(
        "voided_and_posted_again",
        "a later version of a voided order is issued anew",
        f"{_XERO}/core/sales.py",
        'if records.undone(entry) and entry["hash"] == sale["money_hash"]:',
        "if False:",
        (_UNPAID + "test_what_comes_after_a_void_changes_nothing_and_costs_no_call",),
    ),
)
