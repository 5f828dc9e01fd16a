package fix

// The words of the standard for its codes: FIX Latest, FIXimate, fields 103, 102,
// 380, 373, 127 and 434, https://fiximate.fixtrading.org.
var (
	orderRejectWords = map[string]string{
		"0": "broker or exchange option", "1": "unknown symbol", "2": "exchange closed", "3": "order exceeds limit", "4": "too late to enter",
		"5": "unknown order", "6": "duplicate order", "7": "duplicate of a verbally communicated order", "8": "stale order",
		"9": "trade along required", "10": "invalid investor ID", "11": "unsupported order characteristic", "12": "surveillance option",
		"13": "incorrect quantity", "14": "incorrect allocated quantity", "15": "unknown account", "16": "price exceeds current price band",
		"18": "invalid price increment", "19": "reference price not available", "20": "notional value exceeds threshold",
		"21": "algorithm risk threshold breached", "22": "short sell not permitted", "23": "short sell security pre-borrow restriction",
		"24": "short sell account pre-borrow restriction", "25": "insufficient credit limit", "26": "exceeded clip size limit",
		"27": "exceeded maximum notional order amount", "28": "exceeded DV01/PV01 limit", "29": "exceeded CS01 limit", "99": "other",
	}
	cancelRejectWords = map[string]string{
		"0": "too late to cancel", "1": "unknown order", "2": "broker or exchange option", "3": "order already in pending cancel or pending replace status",
		"4": "unable to process order mass cancel request", "5": "OrigOrdModTime did not match last TransactTime of order",
		"6": "duplicate ClOrdID received", "7": "price exceeds current price", "8": "price exceeds current price band",
		"18": "invalid price increment", "99": "other",
	}
	businessRejectWords = map[string]string{
		"0": "other", "1": "unknown ID", "2": "unknown security", "3": "unsupported message type", "4": "application not available",
		"5": "conditionally required field missing", "6": "not authorised", "7": "DeliverTo firm not available at this time",
		"8": "throttle limit exceeded", "9": "throttle limit exceeded, session will be disconnected",
		"10": "throttled messages rejected on request", "18": "invalid price increment",
	}
	sessionRejectWords = map[string]string{
		"0": "invalid tag number", "1": "required tag missing", "2": "tag not defined for this message type", "3": "undefined tag",
		"4": "tag specified without a value", "5": "value is incorrect (out of range) for this tag", "6": "incorrect data format for value",
		"7": "decryption problem", "8": "signature problem", "9": "CompID problem", "10": "SendingTime accuracy problem", "11": "invalid MsgType",
		"12": "XML validation error", "13": "tag appears more than once", "14": "tag specified out of required order",
		"15": "repeating group fields out of order", "16": "incorrect NumInGroup count for repeating group",
		"17": "non-data value includes field delimiter", "18": "invalid or unsupported application version", "99": "other",
	}
	dontKnowWords = map[string]string{
		"A": "unknown symbol", "B": "wrong side", "C": "quantity exceeds order", "D": "no matching order", "E": "price exceeds limit",
		"F": "calculation difference", "G": "no matching execution report", "Z": "other",
	}
)

// wordsFor are the words for a code; a code that the standard does not have is
// kept, and "" stays "".
func wordsFor(table map[string]string, code string) string {
	switch words, known := table[code]; {
	case known:
		return words
	case code == "":
		return ""
	}
	return "unknown code " + shown(code)
}
