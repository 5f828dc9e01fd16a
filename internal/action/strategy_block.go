package action

func strategyBlock() Type {
	return blocking(Strategy, "Stops the strategy from sending new orders. Its orders in the market stay there until they are cancelled, and its positions stay open.")
}
