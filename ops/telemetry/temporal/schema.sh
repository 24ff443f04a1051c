#!/bin/sh
# Brings Temporal's own tables up to date; may be repeated.
set -eu
SQL_PASSWORD="$(cat /run/secrets/temporal_database)"
export SQL_PASSWORD
for pair in temporal:temporal temporal_visibility:visibility; do
    database=${pair%%:*} kind=${pair##*:}
    tool="temporal-sql-tool --plugin postgres12 --ep postgresql -p 5432 -u temporal --db $database"
    $tool setup-schema -v 0.0
    $tool update-schema -d "/etc/temporal/schema/postgresql/v12/$kind/versioned"
done
