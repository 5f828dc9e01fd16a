package store

// For tests of package store_test.
var (
	TransactionQuery      = transactionQuery
	TransactionConditions = transactionConditions
)
