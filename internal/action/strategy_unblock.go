package action

func strategyUnblock() Type {
	return unblocking(Strategy, "Lets the strategy send orders again, from the positions that it has now. Look first whether what led to the block is over.")
}
