-- Trades, loaded from files. Imports get a kind, since their source is now a name
-- that the sender chooses. Locking: rewriting the constraints of finobs.import
-- reads that table once, a row a file.

-- +migrate Up
ALTER TABLE finobs.import ADD COLUMN kind text NOT NULL DEFAULT 'sec_fails'
    CONSTRAINT import_kind_is_known CHECK (kind IN ('sec_fails', 'transactions'));
ALTER TABLE finobs.import ALTER COLUMN kind DROP DEFAULT;
ALTER TABLE finobs.import DROP CONSTRAINT import_source_is_known;
ALTER TABLE finobs.import ADD CONSTRAINT import_has_a_source CHECK (source <> '' AND (kind <> 'sec_fails' OR source = 'sec_fails'));
ALTER TABLE finobs.import DROP CONSTRAINT import_is_once_per_content;
ALTER TABLE finobs.import ADD CONSTRAINT import_is_once_per_content UNIQUE (content_sha256, kind, source);

DROP VIEW api.import;
CREATE VIEW api.import AS
SELECT import_id, kind, source, encode(content_sha256, 'hex') AS content_sha256, origin, file_name, byte_count, report,
       imported_iss, imported_sub, workflow_id, trace_id, imported_at
FROM finobs.import;
GRANT SELECT ON api.import TO finobs_api;

-- Quantities and money are exact. The upper bounds also keep NaN and infinity out,
-- which Postgres puts above every number.
CREATE TABLE finobs.transaction (
    transaction_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source          text NOT NULL CONSTRAINT transaction_has_a_source CHECK (source <> ''),
    trade_id        text NOT NULL CONSTRAINT transaction_has_a_trade_id CHECK (trade_id <> ''), -- the source's own
    execution_id    text NOT NULL,
    trade_date      date NOT NULL,
    settlement_date date,
    side            text NOT NULL CONSTRAINT transaction_side_is_known CHECK (side IN ('buy', 'sell', 'sell_short', 'buy_to_cover')),
    symbol          text NOT NULL CONSTRAINT transaction_has_a_symbol CHECK (symbol <> ''),
    isin            text NOT NULL CONSTRAINT isin_has_twelve_characters CHECK (isin = '' OR length(isin) = 12),
    cusip           text NOT NULL CONSTRAINT transaction_cusip_has_nine_characters CHECK (cusip = '' OR length(cusip) = 9),
    quantity        numeric NOT NULL CONSTRAINT transaction_quantity_is_positive CHECK (quantity > 0 AND quantity < 1e18),
    price           numeric NOT NULL CONSTRAINT price_is_a_number CHECK (price > -1e18 AND price < 1e18), -- per unit, in currency
    currency        text NOT NULL CONSTRAINT currency_has_three_letters CHECK (currency ~ '^[A-Z]{3}$'),  -- ISO 4217
    gross_amount    numeric CONSTRAINT gross_amount_is_a_number CHECK (gross_amount > -1e18 AND gross_amount < 1e18), -- in currency
    fees            numeric CONSTRAINT fees_are_a_number CHECK (fees > -1e18 AND fees < 1e18),                        -- in currency
    account         text NOT NULL,
    counterparty    text NOT NULL,
    venue           text NOT NULL,
    status          text NOT NULL CONSTRAINT transaction_status_is_known
        CHECK (status IN ('new', 'confirmed', 'settled', 'failed', 'cancelled')),
    desk            text NOT NULL,
    origin          text NOT NULL CONSTRAINT transaction_origin_is_known CHECK (origin IN ('live', 'demo')),
    -- Deferred: rows go in before the report that belongs to their import.
    import_id       bigint NOT NULL CONSTRAINT transaction_comes_from_an_import REFERENCES finobs.import
        DEFERRABLE INITIALLY DEFERRED,
    version         bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    trace_id        text NOT NULL,
    CONSTRAINT transaction_is_once_per_source UNIQUE (source, trade_id)
);
-- One for each filter of the list, in the order of its pages.
CREATE INDEX transaction_by_symbol ON finobs.transaction (symbol, transaction_id DESC);
CREATE INDEX transaction_by_side ON finobs.transaction (side, transaction_id DESC);
CREATE INDEX transaction_by_status ON finobs.transaction (status, transaction_id DESC);
CREATE INDEX transaction_by_account ON finobs.transaction (account, transaction_id DESC);
CREATE INDEX transaction_by_counterparty ON finobs.transaction (counterparty, transaction_id DESC);
CREATE INDEX transaction_by_desk ON finobs.transaction (desk, transaction_id DESC);
CREATE INDEX transaction_by_currency ON finobs.transaction (currency, transaction_id DESC);
CREATE INDEX transaction_by_origin ON finobs.transaction (origin, transaction_id DESC);
CREATE INDEX transaction_by_trade_date ON finobs.transaction (trade_date, transaction_id DESC);
CREATE INDEX transaction_by_trade_id ON finobs.transaction (trade_id); -- of whatever source

-- What a transaction was before it was corrected: its earlier versions. Rows are
-- only ever added.
CREATE TABLE finobs.transaction_version (
    transaction_id  bigint NOT NULL REFERENCES finobs.transaction,
    version         bigint NOT NULL,
    execution_id    text NOT NULL,
    trade_date      date NOT NULL,
    settlement_date date,
    side            text NOT NULL,
    symbol          text NOT NULL,
    isin            text NOT NULL,
    cusip           text NOT NULL,
    quantity        numeric NOT NULL,
    price           numeric NOT NULL,
    currency        text NOT NULL,
    gross_amount    numeric,
    fees            numeric,
    account         text NOT NULL,
    counterparty    text NOT NULL,
    venue           text NOT NULL,
    status          text NOT NULL,
    desk            text NOT NULL,
    origin          text NOT NULL,
    import_id       bigint NOT NULL REFERENCES finobs.import, -- the one that brought these values
    updated_at      timestamptz NOT NULL,
    trace_id        text NOT NULL,
    PRIMARY KEY (transaction_id, version)
);

GRANT SELECT, INSERT ON finobs.transaction, finobs.transaction_version TO finobs_worker;
GRANT UPDATE (execution_id, trade_date, settlement_date, side, symbol, isin, cusip, quantity, price, currency, gross_amount, fees,
    account, counterparty, venue, status, desk, origin, import_id, version, updated_at, trace_id) ON finobs.transaction TO finobs_worker;

CREATE VIEW api.transaction AS
SELECT transaction_id, source, trade_id, execution_id, trade_date, settlement_date, side, symbol, isin, cusip, quantity, price,
       currency, gross_amount, fees, account, counterparty, venue, status, desk, origin, import_id, version, created_at, updated_at, trace_id
FROM finobs.transaction;
CREATE VIEW api.transaction_version AS
SELECT v.transaction_id, t.source, t.trade_id, v.execution_id, v.trade_date, v.settlement_date, v.side, v.symbol, v.isin, v.cusip,
       v.quantity, v.price, v.currency, v.gross_amount, v.fees, v.account, v.counterparty, v.venue, v.status, v.desk, v.origin,
       v.import_id, v.version, t.created_at, v.updated_at, v.trace_id
FROM finobs.transaction_version v JOIN finobs.transaction t USING (transaction_id);
GRANT SELECT ON api.transaction, api.transaction_version TO finobs_api;
GRANT SELECT ON api.transaction TO finobs_worker;

-- +migrate Down
DROP VIEW api.transaction_version;
DROP VIEW api.transaction;
DROP TABLE finobs.transaction_version;
DROP TABLE finobs.transaction;
DELETE FROM finobs.import WHERE kind <> 'sec_fails';
DROP VIEW api.import;
ALTER TABLE finobs.import DROP CONSTRAINT import_is_once_per_content;
ALTER TABLE finobs.import ADD CONSTRAINT import_is_once_per_content UNIQUE (source, content_sha256);
ALTER TABLE finobs.import DROP CONSTRAINT import_has_a_source;
ALTER TABLE finobs.import ADD CONSTRAINT import_source_is_known CHECK (source IN ('sec_fails'));
ALTER TABLE finobs.import DROP COLUMN kind;
CREATE VIEW api.import AS
SELECT import_id, source, encode(content_sha256, 'hex') AS content_sha256, origin, file_name, byte_count, report,
       imported_iss, imported_sub, workflow_id, trace_id, imported_at
FROM finobs.import;
GRANT SELECT ON api.import TO finobs_api;
