package action

func traderUnblock() Type {
	return unblocking(Trader, "Lets the trader enter orders again. Look first whether what led to the block is over.")
}
