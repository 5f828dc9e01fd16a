package action

// Identifier reports whether a parameter of an action names an object, so that its
// value has to be one that is in evidence.
func Identifier(name, parameter string) bool {
	t, err := Find(name)
	if err != nil {
		return false
	}
	for _, p := range t.Parameters {
		if p.Name == parameter {
			return p.Kind == ID
		}
	}
	return false
}
