package plugin

import "slices"

// HasSetting tells whether the plugin's manifest declares a setting.
func (m *Manifest) HasSetting(key string) bool {
	return slices.ContainsFunc(m.Config, func(s Setting) bool { return s.Key == key })
}

// IsSecret tells whether a setting must never be shown.
func (m *Manifest) IsSecret(key string) bool {
	return slices.ContainsFunc(m.Config, func(s Setting) bool { return s.Key == key && s.Type == Secret })
}
