package action

func traderBlock() Type {
	return blocking(Trader, "Refuses every new order that the trader enters. Orders in the market stay there until they are cancelled.")
}
