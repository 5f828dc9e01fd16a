package intake

import "fmt"

// CheckISIN says what is wrong with an ISIN, or returns "": two letters, nine
// letters or digits, and a check digit over them (ISO 6166: modulus 10 double add
// double, letters counting as two digits).
func CheckISIN(s string) (problem string) {
	if !isinPattern.MatchString(s) {
		return fmt.Sprintf("%q is not two letters, nine letters or digits and a digit", shown(s))
	}
	sum, double := 0, true
	add := func(digit int) {
		if double {
			digit *= 2
		}
		sum += digit/10 + digit%10
		double = !double
	}
	for i := len(s) - 2; i >= 0; i-- {
		v := cusipValue(s[i])
		add(v % 10)
		if v >= 10 {
			add(v / 10)
		}
	}
	if want := byte('0' + (10-sum%10)%10); s[len(s)-1] != want {
		return fmt.Sprintf("the check digit of %s is %c and should be %c", s, s[len(s)-1], want)
	}
	return ""
}

// currencies are the codes of ISO 4217, funds and metals among them, that are in use
// or were withdrawn after 2022, four
// bytes each.
const currencies = "" +
	"AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD " +
	"CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP " +
	"GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR " +
	"KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN " +
	"MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD " +
	"SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX " +
	"USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD " +
	"XPF XPT XSU XTS XUA YER ZAR ZMW ZWG ANG BGN CUC HRK SLL ZWL"
