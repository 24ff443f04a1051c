-- The deciding half of post_entries when the order matters: one entry after the other, each against what the accepted
-- ones before it left. Decides only; the caller writes what was accepted.
CREATE FUNCTION judge_in_order(
    keys text[], digests bytea[], becomes text[], hold_keys text[],
    accounts bigint[], have numeric[], sign smallint[], free boolean[],
    line_item int[], line_place int[], line_units numeric[], asked boolean[],
    OUT verdicts text[], OUT short_of bigint[]
) LANGUAGE plpgsql AS $$
DECLARE
    known bytea[];
    hold_state text[];
    hold_account bigint[];
    hold_units numeric[];
    line int := 1;
    first_line int;
    k int;
    repeats boolean;
    verdict text;
    short bigint;
BEGIN
    SELECT array_agg(e.digest ORDER BY u.i), array_agg(h.state ORDER BY u.i),
           array_agg(h.held_id ORDER BY u.i), array_agg(h.units ORDER BY u.i),
           count(*) > count(DISTINCT u.key) OR count(u.hold_key) > count(DISTINCT u.hold_key)
    INTO known, hold_state, hold_account, hold_units, repeats
    FROM unnest(keys, hold_keys) WITH ORDINALITY AS u (key, hold_key, i)
    LEFT JOIN entry e ON e.key = u.key
    LEFT JOIN hold h ON h.key = u.hold_key;
    verdicts := array_fill(NULL::text, ARRAY[cardinality(keys)]);
    short_of := array_fill(NULL::bigint, ARRAY[cardinality(keys)]);

    FOR i IN 1 .. cardinality(keys) LOOP
        first_line := line;
        WHILE line_item[line] = i LOOP
            line := line + 1;
        END LOOP;
        CONTINUE WHEN NOT asked[i];
        verdict := NULL;
        short := NULL;
        IF repeats THEN
            -- An accepted entry of this batch counts as known, and so does what it did to its hold.
            FOR j IN 1 .. i - 1 LOOP
                CONTINUE WHEN verdicts[j] IS DISTINCT FROM 'posted';
                IF keys[j] = keys[i] THEN
                    known[i] := digests[j];
                END IF;
                IF hold_keys[j] = hold_keys[i] THEN
                    hold_state[i] := becomes[j];
                    IF becomes[j] = 'PENDING' THEN
                        k := array_position(line_item, j);
                        k := CASE WHEN line_units[k] < 0 THEN k ELSE k + 1 END;
                        hold_account[i] := accounts[line_place[k]];
                        hold_units[i] := -line_units[k];
                    END IF;
                END IF;
            END LOOP;
        END IF;

        IF known[i] IS NOT NULL THEN
            verdict := CASE WHEN known[i] = digests[i] THEN 'duplicate' ELSE 'conflict' END;
        ELSIF becomes[i] <> 'PENDING' THEN
            -- It closes a hold: that must be pending, and the entry must debit just what it holds where it holds it.
            verdict := CASE WHEN hold_state[i] IS NULL THEN 'hold_missing'
                            WHEN hold_state[i] <> 'PENDING' THEN 'hold_closed'
                            ELSE 'conflict' END;
            FOR k IN first_line .. line - 1 LOOP
                IF verdict = 'conflict' AND line_units[k] = hold_units[i]
                   AND accounts[line_place[k]] = hold_account[i] THEN
                    verdict := NULL;
                END IF;
            END LOOP;
        END IF;
        IF verdict IS NULL THEN
            FOR k IN first_line .. line - 1 LOOP
                IF NOT free[line_place[k]] AND have[line_place[k]] + line_units[k] * sign[line_place[k]] < 0 THEN
                    verdict := 'insufficient';
                    short := accounts[line_place[k]];
                    EXIT;
                END IF;
            END LOOP;
        END IF;
        IF verdict IS NULL THEN
            verdict := 'posted';
            FOR k IN first_line .. line - 1 LOOP
                have[line_place[k]] := have[line_place[k]] + line_units[k] * sign[line_place[k]];
            END LOOP;
        END IF;
        verdicts[i] := verdict;
        short_of[i] := short;
    END LOOP;
END $$;
