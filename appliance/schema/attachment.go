package schema

import (
	"encoding/json"
	"mime"
	"regexp"
	"strings"

	"github.com/karov-crm/karov/appliance/fault"
)

// Attachment is a file that a record holds: which blob it is, and how people know it.
type Attachment struct {
	Blob string `json:"blob"` // its SHA-256, in hex
	Name string `json:"name"`
	Size int64  `json:"size"`
	Type string `json:"type"` // media type, as application/pdf
}

const maxFileName = 255

var blobShape = regexp.MustCompile(`^[0-9a-f]{64}$`)

// AttachmentFrom reads an attachment out of a value that a form or JSON gave: an Attachment or an object with its members.
// Whether the blob is there, and for the actor, is not asked here.
func AttachmentFrom(value any) (Attachment, error) {
	switch v := value.(type) {
	case Attachment:
		return v, v.check()
	case map[string]any:
		for name := range v {
			if name != "blob" && name != "name" && name != "size" && name != "type" {
				return Attachment{}, fault.New(fault.Invalid, "attachment.malformed")
			}
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return Attachment{}, fault.Wrap(err, fault.Invalid, "attachment.malformed")
		}
		var a Attachment
		if err := json.Unmarshal(raw, &a); err != nil {
			return Attachment{}, fault.Wrap(err, fault.Invalid, "attachment.malformed")
		}
		return a, a.check()
	}
	return Attachment{}, fault.New(fault.Invalid, "attachment.malformed")
}

func (a Attachment) check() error {
	switch {
	case !blobShape.MatchString(a.Blob) || a.Size < 0:
		return fault.New(fault.Invalid, "attachment.malformed")
	case !isLine(a.Name) || len(a.Name) > maxFileName || strings.ContainsAny(a.Name, `/\`) || strings.Trim(a.Name, ".") == "":
		return fault.New(fault.Invalid, "attachment.name", "limit", maxFileName)
	}
	if media, _, err := mime.ParseMediaType(a.Type); err != nil || !strings.Contains(media, "/") || len(a.Type) > 100 {
		return fault.New(fault.Invalid, "attachment.type")
	}
	return nil
}

// IsPicture tells whether browsers show the attachment as an image. SVG is none: it is a document that can hold script.
func (a Attachment) IsPicture() bool {
	media, _, _ := mime.ParseMediaType(a.Type)
	switch media {
	case "image/jpeg", "image/png", "image/gif", "image/webp", "image/avif":
		return true
	}
	return false
}

// Encode writes the attachment as records store it.
func (a Attachment) Encode() []byte {
	raw, err := json.Marshal(a)
	if err != nil {
		panic(err) // an Attachment holds nothing that JSON cannot
	}
	return raw
}

// DecodeAttachment reads what Encode wrote, and false for anything else.
func DecodeAttachment(raw []byte) (Attachment, bool) {
	var a Attachment
	if err := json.Unmarshal(raw, &a); err != nil || a.check() != nil {
		return Attachment{}, false
	}
	return a, true
}
