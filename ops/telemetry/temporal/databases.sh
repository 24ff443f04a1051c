#!/bin/sh
# Run once by PostgreSQL's image on an empty volume: one role and its databases for Temporal, one for us.
set -eu
psql -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" \
    -v temporal="$(cat /run/secrets/temporal_database)" -v strongroom="$(cat /run/secrets/strongroom_database)" <<'SQL'
create role temporal login password :'temporal';
create database temporal owner temporal;
create database temporal_visibility owner temporal;
create role strongroom login password :'strongroom';
create database strongroom owner strongroom;
SQL
