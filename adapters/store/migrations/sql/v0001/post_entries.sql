-- Posts a batch of entries, with a verdict for each: posted, duplicate (same key, same digest), conflict (same key,
-- other digest), insufficient (short_of says which account), hold_missing, hold_closed. A refused entry refuses only
-- itself. An item that is not wanted is passed over (verdict null).
--
--   keys, digests, kinds   one per entry, in the order in which they are to be judged
--   becomes, hold_keys     what the entry does to a hold: PENDING places it (its key is the entry's key), SETTLED or
--                          RELEASED closes it; null for none
--   accounts               every account touched, once, ascending
--   line_*                 the postings: entry (1-based), number within it, place of its account in `accounts`, units
--
-- Locks: balance rows in the order of account ids, then unique keys in their order; nobody who holds the latter waits
-- for the former, so no two batches can deadlock. A hold is guarded by the balance row of its held account, because
-- whoever closes it posts there.
CREATE FUNCTION post_entries(
    keys text[], digests bytea[], kinds text[], becomes text[], hold_keys text[],
    accounts bigint[], line_item int[], line_no smallint[], line_place int[], line_units numeric[],
    at timestamptz, wanted boolean[] DEFAULT NULL,
    OUT verdicts text[], OUT short_of bigint[]
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    asked boolean[] := coalesce(wanted, array_fill(true, ARRAY[cardinality(keys)]));
    have numeric[];
    sign smallint[];
    free boolean[];
    any_order boolean;
    todo boolean[];
BEGIN
    SELECT array_agg(b.units), array_agg(b.normal_sign), array_agg(b.may_overdraw) INTO have, sign, free
    FROM (SELECT units, normal_sign, may_overdraw FROM balance WHERE account_id = ANY (accounts)
          ORDER BY account_id FOR NO KEY UPDATE) b;
    IF coalesce(cardinality(have), 0) <> cardinality(accounts) THEN
        RAISE EXCEPTION 'an account of the batch does not exist' USING ERRCODE = 'foreign_key_violation';
    END IF;

    -- Nobody can be refused for lack of funds, in any order, if every account bears all that is taken from it before
    -- anything is added; and nobody for another of the same batch if no key and no hold is named twice.
    SELECT coalesce(bool_and(free[d.place] OR have[d.place] + d.taken >= 0), true) INTO any_order
    FROM (SELECT l.place, sum(least(l.units * sign[l.place], 0)) AS taken
          FROM unnest(line_item, line_place, line_units) AS l (item, place, units)
          WHERE asked[l.item] GROUP BY l.place) d;
    IF any_order AND cardinality(keys) > 1 THEN
        SELECT count(*) = count(DISTINCT u.key) AND count(u.hold) = count(DISTINCT u.hold) INTO any_order
        FROM unnest(keys, hold_keys) AS u (key, hold);
    END IF;

    IF any_order THEN
        todo := asked;
        IF 'SETTLED' = ANY (becomes) OR 'RELEASED' = ANY (becomes) THEN
            todo := closable(becomes, hold_keys, accounts, line_item, line_place, line_units, asked);
        END IF;
        verdicts := apply_entries(keys, digests, kinds, becomes, hold_keys, accounts,
                                  line_item, line_no, line_place, line_units, at, todo);
        IF cardinality(array_positions(verdicts, 'posted')) < cardinality(array_positions(asked, true)) THEN
            verdicts := explain_refusals(verdicts, asked, keys, digests, hold_keys);
        END IF;
        RETURN;
    END IF;

    SELECT j.verdicts, j.short_of INTO verdicts, short_of
    FROM judge_in_order(keys, digests, becomes, hold_keys, accounts, have, sign, free,
                        line_item, line_place, line_units, asked) j;
    todo := ARRAY(SELECT v IS NOT DISTINCT FROM 'posted' FROM unnest(verdicts) WITH ORDINALITY AS u (v, i) ORDER BY i);
    IF array_position(apply_entries(keys, digests, kinds, becomes, hold_keys, accounts, line_item, line_no,
                                    line_place, line_units, at, todo), 'refused') IS NOT NULL THEN
        -- Somebody took one of our keys, for other accounts, since we looked: judge anew.
        RAISE EXCEPTION 'a key of the batch was taken meanwhile' USING ERRCODE = 'serialization_failure';
    END IF;
END $$;
