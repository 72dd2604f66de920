-- The core of the ledger, by hand, for DuckDB: docs/ledger-bench.md says what each figure is.
-- Variables: lake, given (folders), from_at, until_at. One row a run comes out, as figures.py lists them.
-- Work is summed as whole microseconds or whole thousandths, in doubles below 2^53: no order can matter.

CREATE OR REPLACE TEMP MACRO clipped(v) AS CASE WHEN v < 0 THEN 0.0 WHEN v > 1 THEN 1.0 ELSE v END; -- keeps null
CREATE OR REPLACE TEMP MACRO hypot(x, y) AS sqrt(x * x + y * y);
CREATE OR REPLACE TEMP MACRO whole(v) AS floor(v * 1000 + 0.5);
-- Lag-1 autocorrelation of n deviations from a mean, and the error of that mean: stats.lag_one, mean_error.
CREATE OR REPLACE TEMP MACRO rho_of(n, products, squares) AS
    CASE WHEN n < 4 OR squares <= 0 THEN 0.0 ELSE least(0.9, greatest(0.0, products / squares)) END;
CREATE OR REPLACE TEMP MACRO mean_error(n, rho, sigma) AS
    CASE WHEN n < 2 THEN sigma ELSE sigma * sqrt((1 + rho) / (1 - rho) / n) END;

CREATE OR REPLACE TEMP VIEW figures AS
WITH RECURSIVE
runs AS (FROM read_parquet(getvariable('given') || '/runs.parquet')),
keys AS MATERIALIZED ( -- numbered: whole numbers are joined and sorted faster than words
    SELECT run, i, (row_number() OVER ())::INTEGER AS key FROM read_parquet(getvariable('given') || '/keys.parquet')
),
people AS (FROM read_parquet(getvariable('given') || '/people.parquet')),
classes AS (FROM read_parquet(getvariable('given') || '/classes.parquet')),
spans AS (FROM read_parquet(getvariable('given') || '/spans.parquet')),
arcs AS (FROM read_parquet(getvariable('given') || '/arcs.parquet')),

-- 1. Windows that can be used: work.judgeable.
gpus AS MATERIALIZED (
    SELECT gpu, (row_number() OVER ())::INTEGER AS board
    FROM (SELECT DISTINCT gpu FROM read_parquet(getvariable('lake') || '/v1/windows/*/*.parquet', hive_partitioning = false))
),
fine AS MATERIALIZED (
    SELECT
        run, board, coalesce(model, '') AS model, coalesce(shared, false) AS shared, start_at, end_at,
        covered_ms, energy_mj, power_mw, power_limit_mw, power_q_mw[1] AS power_q0_mw, busy_ms, sm_cycles,
        sm_clock_mhz, sm_ms, tensor_ms, int_ms, dram_ms
    FROM read_parquet(getvariable('lake') || '/v1/windows/*/*.parquet', hive_partitioning = false) JOIN gpus USING (gpu)
    WHERE start_at < getvariable('until_at') AND end_at >= getvariable('from_at')
        AND end_at - start_at BETWEEN 0 AND 3600 AND end_at > start_at
        AND isfinite(start_at) AND isfinite(end_at)
        AND covered_ms BETWEEN 0 AND (end_at - start_at) * 1000 * 1.05 + 500
        AND coalesce(energy_mj BETWEEN 0 AND 20000.0 * ((end_at - start_at) * 1000 + 1000.0), true)
        AND coalesce(power_mw BETWEEN 0 AND 20000000.0, true)
        AND coalesce(sm_cycles BETWEEN 0 AND 9007199254740992, true)
        AND coalesce(busy_ms BETWEEN 0 AND covered_ms * 1.05 + 500, true)
        AND coalesce(sm_ms BETWEEN 0 AND 10.0 * ((end_at - start_at) * 1000 + 1000.0), true)
        AND coalesce(tensor_ms BETWEEN 0 AND 10.0 * ((end_at - start_at) * 1000 + 1000.0), true)
        AND coalesce(int_ms BETWEEN 0 AND 10.0 * ((end_at - start_at) * 1000 + 1000.0), true)
        AND coalesce(dram_ms BETWEEN 0 AND 10.0 * ((end_at - start_at) * 1000 + 1000.0), true)
        AND coalesce(mem_busy_ms BETWEEN 0 AND 10.0 * ((end_at - start_at) * 1000 + 1000.0), true)
),
repeated AS MATERIALIZED (SELECT run, board, start_at FROM fine GROUP BY ALL HAVING count(*) > 1), -- mostly none
windows AS MATERIALIZED (
    FROM fine AS f WHERE NOT EXISTS (
        FROM repeated AS r WHERE r.run IS NOT DISTINCT FROM f.run AND r.board = f.board AND r.start_at = f.start_at
    )
    UNION ALL (
        SELECT f.* FROM fine AS f JOIN repeated AS r
            ON r.run IS NOT DISTINCT FROM f.run AND r.board = f.board AND r.start_at = f.start_at
        QUALIFY row_number() OVER (
            PARTITION BY f.run, f.board, f.start_at
            ORDER BY f.covered_ms DESC NULLS LAST, f.end_at DESC, f.energy_mj DESC NULLS LAST
        ) = 1
    )
),

-- 2. Idle power of each GPU from its quiet windows, its model's, or its lowest readings: work.idle_power.
seen AS (
    SELECT
        board, model, coalesce(energy_mj * 1000 / covered_ms, power_mw) AS mean,
        busy_ms / covered_ms <= 0.01 AS quiet, power_q0_mw
    FROM windows WHERE covered_ms > 0
),
of_model AS (SELECT model, round_even(median(mean) / 100, 0) * 100 AS of_model FROM seen WHERE quiet GROUP BY model),
of_gpu AS (
    SELECT
        board, quantile_cont(mean, 0.25) FILTER (WHERE quiet) AS own,
        least(min(power_q0_mw), min(mean)) AS low
    FROM seen GROUP BY board
),
boards AS (SELECT board, min(model) AS model, max(power_limit_mw) AS limit_mw FROM windows GROUP BY board),
idle AS (
    SELECT board, coalesce(own, of_model, least(low, limit_mw * 0.12)) AS idle
    FROM boards LEFT JOIN of_gpu USING (board) LEFT JOIN of_model USING (model)
),

-- 3. Cells: the runs' windows, clipped to run and to the window before: work._clip, pipes.
bound AS MATERIALIZED (
    SELECT k.i, k.key, w.* EXCLUDE (run), r.from_at, r.until_at
    FROM windows AS w JOIN keys AS k USING (run) JOIN runs AS r USING (i)
),
gpm AS (
    SELECT
        board, bool_and(sm_clock_mhz IS NOT NULL) AS clocked,
        bool_and(energy_mj IS NULL AND power_mw IS NULL AND busy_ms IS NULL AND sm_cycles IS NULL) AS alone
    FROM bound GROUP BY board
),
clipped_windows AS (
    SELECT
        b.*, start_at AS raw_a, end_at AS raw_b, least(end_at, until_at) AS b,
        greatest(start_at, from_at, max(end_at) OVER (
            PARTITION BY i, board ORDER BY start_at, end_at, key ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )) AS a
    FROM bound AS b
),
cut AS MATERIALIZED (
    SELECT
        i, key, board, model, shared, raw_a, raw_b, a, b, power_limit_mw::DOUBLE AS limit_mw,
        (b - a) / (raw_b - raw_a) AS part, least(covered_ms * part, (b - a) * 1000) AS cov,
        coalesce(energy_mj::DOUBLE, power_mw * covered_ms / 1000) * part AS energy,
        coalesce(busy_ms::DOUBLE, CASE WHEN alone AND NOT clocked THEN sm_ms END) * part AS busy,
        coalesce(sm_cycles::DOUBLE, CASE WHEN alone AND clocked THEN sm_ms::DOUBLE * sm_clock_mhz * 1000 END) * part AS cyc,
        greatest(tensor_ms, int_ms, dram_ms)::DOUBLE * part AS pipe,
        energy * 1000 / cov AS power, busy / cov AS share
    FROM clipped_windows JOIN gpm USING (board)
    WHERE b > a AND least(covered_ms * ((b - a) / (raw_b - raw_a)), (b - a) * 1000) > 0
),

-- 4. Dynamic energy and active time: work._measure.
tops AS (SELECT model, max(power) AS top FROM cut GROUP BY model),
rested AS (
    SELECT i, board, median(power) FILTER (WHERE share <= 0.01) AS own_idle, quantile_cont(cyc / cov, 0.9) AS usual_rate
    FROM cut GROUP BY i, board
),
levelled AS MATERIALIZED (
    SELECT
        cut.*, greatest(idle, own_idle) AS base, usual_rate,
        CASE WHEN power - base < 0 THEN 0.0 ELSE power - base END AS above,
        above / greatest(coalesce(limit_mw, top) - base, 1.0) AS level, above * cov / 1000 AS dyn
    FROM cut JOIN rested USING (i, board) JOIN tops USING (model) LEFT JOIN idle USING (board)
),
works AS (SELECT i, board, quantile_cont(level, 0.9) AS usual FROM levelled WHERE level > 0.03 GROUP BY i, board),
active AS (
    SELECT
        l.*,
        CASE WHEN level <= 0.03 THEN 0.0 ELSE clipped(level / usual) END AS by_power,
        CASE WHEN usual_rate > 0 THEN clipped(cyc / cov / usual_rate) ELSE cyc / cov * 0.0 END AS by_cycles,
        clipped(CASE
            WHEN share IS NOT NULL AND NOT (share <= 0.01 AND coalesce(level > 0.15, false))
            THEN CASE WHEN share <= 0.01 THEN 0.0 ELSE share END
            ELSE coalesce(by_power, CASE WHEN by_cycles <= 0.03 THEN 0.0 ELSE by_cycles END)
        END) * cov AS device_active
    FROM levelled AS l LEFT JOIN works USING (i, board)
),

-- 5. Active time divided among processes by their SM time: owners.uses, split.classed, split.split.
used AS (
    SELECT DISTINCT ON (h.key, g.board, s.start_at, s.pid, s.start_ticks)
        h.i, h.key, g.board, s.start_at, s.node, s.pid, s.start_ticks, s.sm_ms, s.holds, s.run
    FROM read_parquet(getvariable('lake') || '/v1/shares/*/*.parquet', hive_partitioning = false) AS s
    JOIN keys AS h ON h.run = s.window_run JOIN gpus AS g USING (gpu)
    WHERE s.start_at < getvariable('until_at') AND s.end_at >= getvariable('from_at')
        AND s.end_at - s.start_at BETWEEN 0 AND 3600
),
marked AS (
    SELECT
        u.i, u.key, u.board, u.start_at, u.sm_ms, coalesce(u.run, p.run) AS origin,
        CASE
            WHEN o.i = u.i THEN coalesce(c.cls, 'kin')
            WHEN origin IS NULL AND (p.uid IS NULL OR r.uid IS NULL) THEN 'kin'
            WHEN NOT coalesce(u.holds, true) THEN 'kin'
            WHEN origin IS NULL AND p.uid = r.uid THEN 'stray'
            ELSE 'foreign'
        END AS cls
    FROM used AS u
    JOIN runs AS r USING (i)
    LEFT JOIN people AS p USING (node, pid, start_ticks)
    LEFT JOIN keys AS o ON o.run = coalesce(u.run, p.run)
    LEFT JOIN classes AS c
        ON c.i = u.i AND c.node = u.node AND c.pid = u.pid AND c.start_ticks IS NOT DISTINCT FROM u.start_ticks
),
sm AS (
    SELECT
        i, key, board, start_at AS raw_a,
        coalesce(sum(sm_ms::DOUBLE) FILTER (WHERE cls = 'linked'), 0.0) AS linked,
        coalesce(sum(sm_ms::DOUBLE) FILTER (WHERE cls = 'kin'), 0.0) AS kin,
        coalesce(sum(sm_ms::DOUBLE) FILTER (WHERE cls = 'beside'), 0.0) AS beside,
        coalesce(sum(sm_ms::DOUBLE) FILTER (WHERE cls = 'stray'), 0.0) AS sm_stray,
        coalesce(sum(sm_ms::DOUBLE) FILTER (WHERE cls = 'foreign'), 0.0) AS sm_foreign,
        coalesce(max(sm_ms) FILTER (WHERE cls = 'kin'), 0)::DOUBLE AS top_kin
    FROM marked GROUP BY ALL
),
divided AS (
    SELECT
        a.*, coalesce(linked + kin + beside + sm_stray + sm_foreign, 0.0) AS total,
        CASE WHEN total > 0 THEN device_active * (linked + kin + beside) / total WHEN shared THEN NULL ELSE device_active END AS own,
        CASE WHEN total > 0 THEN device_active * sm_stray / total ELSE 0.0 END AS stray_,
        CASE WHEN total > 0 THEN device_active * (CASE WHEN shared THEN 0.0 ELSE sm_foreign END) / total ELSE 0.0 END AS foreign_,
        CASE WHEN total > 0 THEN
            device_active * (beside + CASE WHEN linked > 0 THEN kin ELSE kin - top_kin END) / total ELSE 0.0 END AS doubt_,
        (b - a) / (raw_b - raw_a) AS long,
        least(coalesce(sm_stray, 0.0) * long, device_active) AS raw_stray,
        least(CASE WHEN shared THEN 0.0 ELSE coalesce(sm_foreign, 0.0) END * long, device_active) AS raw_foreign,
        own + stray_ + foreign_ AS active
    FROM active AS a LEFT JOIN sm USING (i, key, board, raw_a)
),
cells AS MATERIALIZED (
    SELECT
        i, a, b, raw_b - raw_a AS long_s, cov, coalesce(active, 0.0) AS active, coalesce(own, 0.0) AS own,
        CASE WHEN active IS NULL THEN 0.0 ELSE stray_ END AS stray,
        CASE WHEN active IS NULL THEN 0.0 ELSE foreign_ END AS foreign_,
        CASE WHEN active IS NULL THEN 0.0 ELSE doubt_ END AS doubt,
        raw_stray, raw_foreign, CASE WHEN active IS NULL THEN cov ELSE 0.0 END AS blind,
        coalesce(dyn, 0.0) AS dyn, coalesce(cyc, 0.0) AS cyc, coalesce(pipe, 0.0) AS pipe,
        CASE WHEN active > 0 THEN divided.own / divided.active WHEN active IS NULL THEN 1.0 ELSE 1.0 END AS mine,
        CASE WHEN dyn IS NULL THEN 0.0 ELSE cov END AS dyn_cov, CASE WHEN cyc IS NULL THEN 0.0 ELSE cov END AS cyc_cov,
        CASE WHEN pipe IS NULL THEN 0.0 ELSE cov END AS pipe_cov, coalesce(level, 0.0) * cov AS level
    FROM divided
),

-- 6. GPU-microseconds of each run by kind of span: ledger.tally.
tally AS MATERIALIZED (
    SELECT
        i, kind,
        sum(whole(cov * ((least(c.b, s.b) - greatest(c.a, s.a)) / (c.b - c.a)))) AS cov,
        sum(whole(blind * ((least(c.b, s.b) - greatest(c.a, s.a)) / (c.b - c.a)))) AS blind,
        sum(whole(own * ((least(c.b, s.b) - greatest(c.a, s.a)) / (c.b - c.a)))) AS own,
        sum(whole(stray * ((least(c.b, s.b) - greatest(c.a, s.a)) / (c.b - c.a)))) AS stray,
        sum(whole(foreign_ * ((least(c.b, s.b) - greatest(c.a, s.a)) / (c.b - c.a)))) AS foreign_
    FROM cells AS c JOIN spans AS s USING (i)
    WHERE least(c.b, s.b) > greatest(c.a, s.a)
    GROUP BY i, kind
),

-- 7. Slots of a run, all of its GPUs together: grid.grids.
widths AS (SELECT i, median(long_s) AS long_s FROM cells GROUP BY i),
plan AS MATERIALIZED (
    SELECT
        r.*, greatest(coalesce(long_s, 60.0), greatest(until_at - from_at, 1e-3) / 2000) AS width,
        greatest(1, ceil((until_at - from_at) / width))::BIGINT AS n, n_gpus * width * 1000 AS full_ms
    FROM runs AS r LEFT JOIN widths USING (i)
),
binned AS (
    SELECT
        c.*, n, (c.a - from_at) / width AS x, (c.b - from_at) / width AS y,
        unnest(range(floor(x + 1e-9)::BIGINT, floor(y - 1e-9)::BIGINT + 1)) AS slot
    FROM cells AS c JOIN plan USING (i)
),
parted AS (SELECT *, (least(y, slot + 1.0) - greatest(x, slot::DOUBLE)) / (y - x) AS part FROM binned),
sums AS (
    SELECT
        i, least(greatest(slot, 0), n - 1) AS k,
        sum(whole(cov * part)) / 1000 AS cov, sum(whole(active * part)) / 1000 AS active, sum(whole(own * part)) / 1000 AS own,
        sum(whole(stray * part)) / 1000 AS stray, sum(whole(foreign_ * part)) / 1000 AS foreign_,
        sum(whole(doubt * part)) / 1000 AS doubt, sum(whole(raw_stray * part)) / 1000 AS raw_stray,
        sum(whole(raw_foreign * part)) / 1000 AS raw_foreign, sum(whole(dyn * part)) / 1000 AS dyn,
        sum(whole(dyn * mine * part)) / 1000 AS own_dyn, sum(whole(dyn_cov * part)) / 1000 AS dyn_cov,
        sum(whole(cyc * part)) / 1000 AS cyc, sum(whole(cyc * mine * part)) / 1000 AS own_cyc,
        sum(whole(cyc_cov * part)) / 1000 AS cyc_cov, sum(whole(pipe * part)) / 1000 AS pipe,
        sum(whole(pipe_cov * part)) / 1000 AS pipe_cov, sum(whole(level * part)) / 1000 AS level
    FROM parted GROUP BY ALL
),

-- 8. Progress and kinds of span in each slot: blocks.units_per_slot, blocks.kinds_per_slot.
usual_arcs AS (
    SELECT i, median(until_at - from_at) AS gap, median((until_at - from_at) / units) AS pace FROM arcs GROUP BY i
),
trained AS (
    SELECT
        a.i, a.units, a.until_at AS b, greatest(gap, pace * a.units) AS usual,
        CASE WHEN a.until_at - a.from_at > (CASE WHEN named THEN 1.2 ELSE 3.0 END) * usual
            THEN a.until_at - usual ELSE a.from_at END AS a
    FROM arcs AS a JOIN usual_arcs USING (i) WHERE units > 0
),
arc_parts AS (
    SELECT
        i, t.units, (a - from_at) / width AS x, (b - from_at) / width AS y,
        unnest(range(greatest(0, trunc(x)::BIGINT), least(n, trunc(y)::BIGINT + 1))) AS k
    FROM trained AS t JOIN plan USING (i)
),
units AS (
    SELECT i, k, sum(units * (least(y, k + 1) - greatest(x, k)) / (y - x)) AS units
    FROM arc_parts WHERE least(y, k + 1) > greatest(x, k) GROUP BY i, k
),
span_parts AS (
    SELECT
        i, kind = 'train' AS train, (a - from_at) / width AS x, (b - from_at) / width AS y,
        unnest(range(greatest(0, trunc(x)::BIGINT), least(n, trunc(y)::BIGINT + 1))) AS k
    FROM spans JOIN plan USING (i)
),
kinds AS (
    SELECT i, k, coalesce(sum(least(y, k + 1) - greatest(x, k)) FILTER (WHERE train), 0.0) / sum(least(y, k + 1) - greatest(x, k)) AS train
    FROM span_parts WHERE least(y, k + 1) - greatest(x, k) > 1e-9 GROUP BY i, k
),
slots AS MATERIALIZED (
    SELECT kinds.train, coalesce(units, 0.0) AS units, kinds.k, kinds.i, sums.* EXCLUDE (i, k)
    FROM kinds LEFT JOIN units USING (i, k) LEFT JOIN sums USING (i, k)
),

-- 9. What a run's meters are good for, and how long its stretches are: study, blocks.channels_of, block_slots.
known AS (
    SELECT
        i, sum(cov) AS cov, sum(active) AS active, sum(cyc) AS cyc, sum(cyc_cov) AS cyc_cov, sum(dyn) AS dyn,
        sum(dyn_cov) AS dyn_cov, sum(pipe_cov) AS pipe_cov, sum(stray) + sum(foreign_) AS others,
        sum(doubt) AS doubt, sum(raw_stray) AS raw_stray, sum(raw_foreign) AS raw_foreign,
        count(*) FILTER (WHERE train > 0.99) AS n_train,
        coalesce(sum(cov) FILTER (WHERE train > 0.5), 0) AS train_cov,
        coalesce(sum(active) FILTER (WHERE train > 0.5), 0) AS train_active,
        coalesce(sum(level) FILTER (WHERE train > 0.5), 0) AS train_level
    FROM slots GROUP BY i
),
shapes AS MATERIALIZED (
    SELECT
        known.*, p.* EXCLUDE (i), gap,
        train_cov <= 0 OR train_active < 0.5 * train_cov OR train_level >= 0.05 * train_active AS believed,
        active > 0 AND others > 0.02 * active AS is_split, cov > 0 AND active > 0 AS has_busy,
        has_busy AND cyc_cov >= 0.9 * cov AND cyc > 0 AS has_cycles,
        has_busy AND believed AND dyn_cov >= 0.9 * cov AND dyn > 0 AS has_energy,
        coalesce(pipe_cov >= 0.9 * cov AND cov > 0 AND pipe_cov > 0, false) AS has_pipes,
        greatest(coalesce(gap, 0.0), 3.0 * coalesce(blur_s, 0.0)) AS gap_s,
        greatest(CASE WHEN gap_s > 0.5 * width THEN floor(gap_s / width)::BIGINT + 1 ELSE 1 END, ceil(n_train / 400)::BIGINT, 1) AS n_slots
    FROM plan AS p JOIN known USING (i) LEFT JOIN usual_arcs USING (i)
),

-- 10. Stretches of training, and work per unit in each: blocks.stretches.
islands AS (
    SELECT s.*, n_slots, full_ms, s.k - row_number() OVER (PARTITION BY i ORDER BY s.k) AS island
    FROM slots AS s JOIN shapes USING (i) WHERE s.train > 0.99 AND s.cov >= 0.5 * full_ms
),
numbered AS (SELECT *, (row_number() OVER (PARTITION BY i, island ORDER BY k) - 1) // n_slots AS number FROM islands),
blocks AS MATERIALIZED (
    SELECT
        i, min(k) AS first, sum(units * least(1.0, cov / full_ms)) AS units, sum(active) AS active,
        sum(stray + foreign_) AS others, sum(own_cyc) AS cycles, sum(own_dyn) AS energy, sum(own) AS busy, sum(pipe) AS pipes
    FROM numbered GROUP BY i, island, number HAVING count(*) = any_value(n_slots)
),
channels AS MATERIALIZED (
    SELECT i, b.first, b.units, b.active, b.others, b.channel, b.work
    FROM (UNPIVOT blocks ON cycles, energy, busy, pipes INTO NAME channel VALUE work) AS b JOIN shapes AS s USING (i)
    WHERE CASE b.channel WHEN 'cycles' THEN has_cycles WHEN 'energy' THEN has_energy WHEN 'busy' THEN has_busy ELSE has_pipes END
),

-- 11. θ: the centre of the cheap mode, climbed to from the low quantile: cost.learn.
samples AS MATERIALIZED (
    SELECT i, channel, first, work / units AS cost, count(*) OVER (PARTITION BY i, channel) AS n
    FROM channels WHERE units > 0 AND work > 0 QUALIFY n >= 6
),
stepped AS (
    SELECT *, cost - lag(cost) OVER (PARTITION BY i, channel ORDER BY first) AS step FROM samples
),
middles AS (
    SELECT i, channel, list(cost) AS costs, median(cost) AS middle, median(abs(step)) / 0.954 AS steps, quantile_cont(cost, 0.12) AS low
    FROM stepped GROUP BY i, channel
),
lowers AS (
    SELECT i, channel, 1.4826 * median(middle - cost) AS lower
    FROM samples JOIN middles USING (i, channel) WHERE cost <= middle GROUP BY i, channel
),
noises AS MATERIALIZED (
    SELECT i, channel, costs, low, greatest(CASE WHEN lower > 0 THEN least(steps, lower) ELSE steps END, 0.004 * middle) AS noise
    FROM middles JOIN lowers USING (i, channel)
),
climb AS (
    SELECT i, channel, costs, low, noise, low + noise AS centre, 0 AS n, false AS done FROM noises
    UNION ALL
    SELECT
        i, channel, costs, low, CASE WHEN settled AND NOT peopled THEN noise * 1.3 ELSE noise END,
        CASE WHEN settled AND NOT peopled THEN low + noise * 1.3 ELSE moved END,
        CASE WHEN settled THEN 0 ELSE n + 1 END, settled AND peopled
    FROM (
        SELECT *, len([c FOR c IN costs IF abs(c - moved) <= 2.6 * noise]) >= greatest(3, 0.12 * len(costs)) AS peopled
        FROM (
            SELECT * EXCLUDE (near), n = 49 OR abs(moved - centre) <= 1e-9 * abs(centre) AS settled
            FROM (
                SELECT *, coalesce(list_median(near), centre) AS moved
                FROM (SELECT *, [c FOR c IN costs IF abs(c - centre) <= 2.6 * noise] AS near FROM climb WHERE NOT done)
            )
        )
    )
),
deviant AS (
    SELECT
        i, channel, first, centre, noise, cost - avg(cost) OVER (PARTITION BY i, channel) AS d
    FROM samples JOIN climb USING (i, channel) WHERE done AND abs(cost - centre) <= 2.6 * noise
),
thetas AS MATERIALIZED (
    SELECT
        i, channel, centre AS theta, count(*) AS n_mode,
        sqrt(power(mean_error(count(*), rho_of(count(*), sum(d * after), sum(d * d)), noise) / centre, 2) + 0.015 * 0.015) AS rel_error
    FROM (SELECT *, lead(d) OVER (PARTITION BY i, channel ORDER BY first) AS after FROM deviant)
    GROUP BY i, channel, centre, noise
),

-- 12. What progress at that cost leaves over: bounds.left_over.
fits AS MATERIALIZED (
    SELECT
        i, channel, theta, rel_error, n_mode, sum(work) AS work, sum(units) AS units, is_split,
        CASE WHEN sum(work) > 0 THEN sum(units) * theta / sum(work) END AS one,
        1.96 * hypot(rel_error, CASE WHEN is_split THEN 0.03 ELSE 0.0 END) AS both_errors,
        CASE WHEN count(*) FILTER (WHERE c.others <= 0.02 * c.active) >= greatest(3, 0.12 * count(*))
            THEN 1.96 * rel_error ELSE both_errors END AS own_error
    FROM channels AS c JOIN thetas USING (i, channel) JOIN shapes USING (i)
    GROUP BY i, channel, theta, rel_error, n_mode, is_split
),
shares AS (
    SELECT
        i, channel, is_split, clipped(1.0 - one * (1.0 + both_errors)) AS low, clipped(1.0 - one) AS middle,
        clipped(1.0 - one * (1.0 - own_error)) AS high
    FROM fits WHERE one IS NOT NULL AND channel <> 'pipes'
),
excess AS (
    SELECT c.i, c.first, c.active, min(CASE WHEN c.work > 0 THEN 1.0 - c.units * theta / c.work ELSE 0.0 END) AS beyond
    FROM channels AS c JOIN fits AS f USING (i, channel) WHERE one IS NOT NULL AND channel <> 'pipes' GROUP BY ALL
),
at_once AS ( -- of fewer than eight stretches nothing is held: no stage's own cost is known
    SELECT i, CASE WHEN sum(active) > 0 AND count(*) >= 8 THEN greatest(0.0, sum(active * beyond) / sum(active)) ELSE 0.0 END AS jointly FROM excess GROUP BY i
),
waiting AS (
    SELECT
        b.i, b.work - b.units * b.theta AS longer, e.work - e.units * e.theta AS more,
        longer > 0.02 * b.work AND more / longer < 0.6 * (e.theta / b.theta)
            AND coalesce(b.is_split OR p.work - p.units * p.theta <= 0.2 * longer, true) AS waits
    FROM fits AS b JOIN fits AS e ON e.i = b.i AND e.channel = 'energy'
    LEFT JOIN fits AS p ON p.i = b.i AND p.channel = 'pipes'
    WHERE b.channel = 'busy'
),
lefts AS (
    SELECT
        i, any_value(is_split) AS is_split, count(*) FILTER (WHERE channel <> 'busy') AS n_meters, jointly,
        coalesce(any_value(waits), false) AS waits, min(low) AS low, min(middle) AS middle, max(middle - low) AS widest,
        CASE WHEN any_value(is_split) THEN min(high) ELSE max(high) END AS high,
        max(high) FILTER (WHERE channel = 'busy') AS busy_high, max(middle) FILTER (WHERE channel = 'busy') AS busy_middle
    FROM shares JOIN at_once USING (i) LEFT JOIN waiting USING (i) GROUP BY i, jointly
),
left_over AS (
    SELECT
        i,
        CASE WHEN n_meters = 0 THEN least(1.0, busy_high + 0.05) WHEN NOT waits OR is_split THEN high
            ELSE greatest(high, coalesce(busy_high, 0.0)) END AS left_hi,
        CASE WHEN n_meters = 0 OR waits THEN 0.0 ELSE least(middle, jointly) END AS left_mid,
        CASE WHEN n_meters = 0 OR waits THEN 0.0 ELSE greatest(0.0, least(low, left_mid - widest)) END AS left_lo,
        CASE WHEN n_meters > 0 AND waits THEN busy_middle ELSE 0.0 END AS wait
    FROM lefts
),

-- 13. Accounts in µs, then in whole ms that sum to the allocation: ledger.book, ledger.balance.
booked AS MATERIALIZED (
    SELECT
        i, allocated_ms, n_gpus, agreed, gap IS NOT NULL AS has_arcs,
        coalesce(left_lo, 0.0) AS left_lo, coalesce(left_mid, 0.0) AS left_mid, coalesce(left_hi, 0.0) AS left_hi,
        coalesce(l.wait, 0.0) AS wait, coalesce(sum(t.cov), 0) AS cov, coalesce(sum(t.own), 0) AS own,
        coalesce(sum(t.stray), 0) AS stray, coalesce(sum(t.foreign_), 0) AS foreign_,
        coalesce(sum(greatest(0, t.cov - t.blind - t.own - t.stray - t.foreign_)), 0) AS idle,
        coalesce(sum(t.own) FILTER (WHERE kind = 'train'), 0) AS train,
        coalesce(sum(t.own) FILTER (WHERE kind = 'silent'), 0) AS silent,
        coalesce(sum(t.own) FILTER (WHERE kind IN ('slow-start', 'overlong')), 0) AS slow,
        coalesce(sum(t.own) FILTER (WHERE kind = 'none'), 0) AS nothing,
        coalesce(sum(t.own) FILTER (WHERE kind IN ('startup', 'marked', 'recurring', 'pause', 'tail')), 0) AS phase,
        coalesce(sum(t.own) FILTER (WHERE kind = 'wait'), 0) AS waited,
        1000 * any_value(doubt) AS doubt_us, 1000 * any_value(raw_stray) AS raw_stray_us, 1000 * any_value(raw_foreign) AS raw_foreign_us
    FROM shapes LEFT JOIN left_over AS l USING (i) LEFT JOIN tally AS t USING (i)
    GROUP BY ALL
),
accounts AS (
    SELECT
        i, allocated_ms, unnest([
            {place: 0, ms: idle / 1000}, {place: 1, ms: train * (1.0 - left_mid - wait) / 1000}, {place: 2, ms: phase / 1000},
            {place: 3, ms: (train * wait + waited) / 1000}, {place: 4, ms: foreign_ / 1000}, {place: 5, ms: 0.0},
            {place: 6, ms: (stray + train * left_mid + slow + silent + nothing) / 1000}
        ], recursive := true)
    FROM booked
),
scaled AS (
    SELECT i, allocated_ms, place, CASE WHEN sum(ms) OVER (PARTITION BY i) > allocated_ms
        THEN ms * allocated_ms / sum(ms) OVER (PARTITION BY i) ELSE ms END AS ms
    FROM accounts
),
every AS (
    FROM scaled
    UNION ALL
    SELECT i, allocated_ms, 7, greatest(0.0, allocated_ms - sum(ms ORDER BY place)) FROM scaled GROUP BY i, allocated_ms
),
ranked AS (
    SELECT
        i, place, floor(ms)::BIGINT AS ms, allocated_ms - sum(floor(ms)::BIGINT) OVER (PARTITION BY i) AS remainder,
        row_number() OVER (PARTITION BY i ORDER BY ms - floor(ms) DESC, place) AS rank
    FROM every
),
balanced AS (
    SELECT i, place, (ms + remainder // 8 + CASE WHEN rank <= remainder % 8 THEN 1 ELSE 0 END)::BIGINT AS ms FROM ranked
),
ledger AS (
    SELECT
        i, sum(ms) FILTER (WHERE place = 0) AS idle_ms, sum(ms) FILTER (WHERE place = 1) AS progress_ms,
        sum(ms) FILTER (WHERE place = 2) AS phase_ms, sum(ms) FILTER (WHERE place = 3) AS wait_ms,
        sum(ms) FILTER (WHERE place = 4) AS foreign_ms, sum(ms) FILTER (WHERE place = 5) AS contradiction_ms,
        sum(ms) FILTER (WHERE place = 6) AS residual_ms, sum(ms) FILTER (WHERE place = 7) AS unobserved_ms,
        sum(ms) FILTER (WHERE place IN (4, 5, 6)) AS u_ms
    FROM balanced GROUP BY i
),

-- 14. U with its bounds: bounds.of_others, bounds.unexplained.
guests AS (
    SELECT i, k, active, which, ms FROM (SELECT i, k, active, stray, foreign_ FROM slots)
    UNPIVOT (ms FOR which IN (stray, foreign_)) WHERE ms > 0
),
guest_shares AS (
    SELECT *, share - avg(share) OVER mine AS d, share - lag(share) OVER (mine ORDER BY k) AS step
    FROM (SELECT i, which, k, ms / active AS share FROM guests WHERE active > 0)
    WINDOW mine AS (PARTITION BY i, which)
),
guest_noise AS (
    SELECT
        i, which, mean_error(count(*), rho_of(count(*), sum(d * after), sum(d * d)),
            CASE WHEN count(*) < 3 THEN 0.0 ELSE median(abs(step)) / 0.954 END) AS error
    FROM (SELECT *, lead(d) OVER (PARTITION BY i, which ORDER BY k) AS after FROM guest_shares) GROUP BY i, which
),
guest_us AS (SELECT i, which, 1.96 * any_value(error) * sum(1000 * active) AS noise_us FROM guests JOIN guest_noise USING (i, which) GROUP BY i, which),
halves AS (
    SELECT
        b.*, own + stray + foreign_ AS worked,
        CASE WHEN stray > 0 THEN
            coalesce(s.noise_us, 0.0) + least(hypot(0.1 * least(stray, greatest(worked - stray, 0.2 * stray)), abs(stray - raw_stray_us) / 2), 0.05 * 1000.0 * allocated_ms)
            ELSE 0.0 END AS half_stray,
        CASE WHEN foreign_ > 0 THEN
            coalesce(f.noise_us, 0.0) + least(hypot(0.1 * least(foreign_, greatest(worked - foreign_, 0.2 * foreign_)), abs(foreign_ - raw_foreign_us) / 2), 0.05 * 1000.0 * allocated_ms)
            ELSE 0.0 END AS half_foreign
    FROM booked AS b
    LEFT JOIN guest_us AS s ON s.i = b.i AND s.which = 'stray' LEFT JOIN guest_us AS f ON f.i = b.i AND f.which = 'foreign_'
),
parts AS (
    SELECT
        *,
        CASE WHEN has_arcs THEN left_mid * train + silent + slow ELSE own END AS own_mid_,
        CASE WHEN has_arcs THEN left_lo * train + silent ELSE 0.0 END AS own_lo,
        CASE WHEN has_arcs THEN left_hi * train + silent + slow + (phase + waited) + doubt_us
            + CASE WHEN agreed THEN 0.0 ELSE (1.0 - left_hi) * train END ELSE own END AS own_hi_,
        greatest(own_lo, own_mid_) AS own_mid, greatest(own_mid, own_hi_) AS own_hi,
        stray - greatest(0.0, stray - half_stray) AS stray_down, least(cov, stray + half_stray) - stray AS stray_up,
        foreign_ - greatest(0.0, foreign_ - half_foreign) AS foreign_down, least(cov, foreign_ + half_foreign) - foreign_ AS foreign_up,
        least(allocated_ms, greatest(worked, cov) / 1000, 1.0002 * worked / 1000) AS cap
    FROM halves
),
bounded AS (
    SELECT
        i, own_mid + stray AS mine, greatest(0.0, mine - hypot(own_mid - own_lo, CASE WHEN stray > 0 THEN stray_down ELSE 0.0 END)) AS mine_lo,
        mine + hypot(own_hi - own_mid, CASE WHEN stray > 0 THEN stray_up ELSE 0.0 END) AS mine_hi,
        mine + foreign_ AS u, greatest(0.0, u - hypot(mine - mine_lo, CASE WHEN foreign_ > 0 THEN foreign_down ELSE 0.0 END)) AS u_lo,
        u + hypot(mine_hi - mine, CASE WHEN foreign_ > 0 THEN foreign_up ELSE 0.0 END) AS u_hi,
        floor(least(u_lo / 1000, cap) + 0.5)::BIGINT AS lo_ms, floor(least(u / 1000, cap) + 0.5)::BIGINT AS mid_ms,
        floor(least(1.0002 * u_hi / 1000, cap) + 0.5)::BIGINT AS hi_ms
    FROM parts
),
wide AS (
    SELECT
        i, max(theta) FILTER (WHERE channel = 'cycles') AS theta_cycles, max(theta) FILTER (WHERE channel = 'energy') AS theta_energy,
        max(theta) FILTER (WHERE channel = 'busy') AS theta_busy,
        arg_min(rel_error, CASE channel WHEN 'cycles' THEN 0 WHEN 'energy' THEN 1 ELSE 2 END) AS rel_error,
        arg_min(n_mode, CASE channel WHEN 'cycles' THEN 0 WHEN 'energy' THEN 1 ELSE 2 END) AS n_mode
    FROM thetas WHERE channel <> 'pipes' GROUP BY i
)
SELECT
    i, idle_ms::BIGINT AS idle_ms, progress_ms::BIGINT AS progress_ms, phase_ms::BIGINT AS phase_ms, wait_ms::BIGINT AS wait_ms,
    foreign_ms::BIGINT AS foreign_ms, contradiction_ms::BIGINT AS contradiction_ms, residual_ms::BIGINT AS residual_ms,
    unobserved_ms::BIGINT AS unobserved_ms,
    least(lo_ms, mid_ms, u_ms)::BIGINT AS u_lo_ms, u_ms::BIGINT AS u_ms, greatest(hi_ms, mid_ms, u_ms)::BIGINT AS u_hi_ms,
    theta_cycles, theta_energy, theta_busy, rel_error, coalesce(n_mode, 0)::BIGINT AS n_mode,
    left_lo, left_mid AS "left", left_hi, wait
FROM ledger JOIN bounded USING (i) JOIN booked USING (i) LEFT JOIN wide USING (i)
ORDER BY i;
