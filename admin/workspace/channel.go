package workspace

import "github.com/karov-crm/karov/admin/frame"

// icon marks the name of an icon, so that the test which compares pages with the sprite finds it.
func icon(name string) string { return name }

func channelIcon(channel string) string {
	switch channel {
	case "email":
		return icon("mail")
	case "phone":
		return icon("phone")
	case "sms":
		return icon("message")
	case "whatsapp":
		return icon("brand-whatsapp")
	case "webchat":
		return icon("world")
	}
	return icon("message-circle")
}

// channelName is the channel in words; a plugin's own channel may bring the sentence with it.
func channelName(v frame.View, channel string) string {
	if key := "channel." + channel; v.Has(key) {
		return v.T(key)
	}
	return channel
}
