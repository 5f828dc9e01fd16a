#!/bin/sh
# Makes or updates the schemas of Temporal: its state and its search. The password is in
# SQL_PASSWORD. The steps are those of
# https://github.com/temporalio/samples-server/blob/main/compose/scripts/setup-postgres.sh
set -eu
for database in temporal temporal_visibility; do
	case $database in
	temporal) schema=temporal ;;
	*) schema=visibility ;;
	esac
	tool() { temporal-sql-tool --plugin postgres12 --ep temporal-postgres -p 5432 -u temporal --db "$database" "$@"; }
	tool create
	# Where there is a schema already, it stays: this sets version 0.0 anew only.
	tool setup-schema -v 0.0 || echo "the schema of $database is there"
	tool update-schema -d "/etc/temporal/schema/postgresql/v12/$schema/versioned"
done
