package wire

import (
	"context"
	"errors"
	"regexp"

	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Limits of a fault that came over the line; what is over them is cut off.
const (
	maxParams = 20
	maxParam  = 1000
	maxDetail = 2000
)

// keyForm is the form of a sentence's key: lower-case words with dots and hyphens, as "mail.login-refused".
var keyForm = regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z0-9-]+)+$`)

// ValidKey tells whether key can be the key of a sentence.
func ValidKey(key string) bool { return len(key) <= 100 && keyForm.MatchString(key) }

// FaultError makes f an error that gRPC carries over the line.
func FaultError(f *wirev1.Fault) error {
	clean(f)
	s := status.New(codeOf(f.Kind), f.Key)
	if d, err := s.WithDetails(f); err == nil {
		s = d
	}
	return s.Err()
}

// FaultOf reads an error that came over the line. It never gives nil for an error that is not nil, and what it gives
// is within limits, however hostile the other end. An error without a Fault has no key.
func FaultOf(err error) *wirev1.Fault {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		s = status.FromContextError(rootContextError(err))
	}
	for _, d := range s.Details() {
		if f, ok := d.(*wirev1.Fault); ok {
			if f.Kind == wirev1.Kind_KIND_UNSPECIFIED {
				f.Kind = kindOf(s.Code())
			}
			clean(f)
			return f
		}
	}
	f := &wirev1.Fault{Kind: kindOf(s.Code()), Detail: s.Message()}
	clean(f)
	return f
}

func rootContextError(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	return err
}

func clean(f *wirev1.Fault) {
	if !ValidKey(f.Key) {
		f.Key = ""
	}
	f.Params = CleanParams(f.Params)
	f.Detail = Cut(f.Detail, maxDetail)
	if len(f.Fields) > maxParams {
		f.Fields = f.Fields[:maxParams]
	}
	for _, field := range f.Fields {
		field.Name = Cut(field.Name, 100)
		if !ValidKey(field.Key) {
			field.Key = ""
		}
		field.Params = CleanParams(field.Params)
	}
}

// CleanParams gives the parameters of a sentence within limits: not too many, none too long, all of them UTF-8.
func CleanParams(in map[string]string) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]string, min(len(in), maxParams))
	for k, v := range in {
		if len(out) == maxParams {
			break
		}
		out[Cut(k, 100)] = Cut(v, maxParam)
	}
	return out
}

// Cut shortens s to at most n bytes of valid UTF-8.
func Cut(s string, n int) string {
	if len(s) > n {
		s = s[:n]
		for len(s) > 0 && s[len(s)-1]&0xC0 == 0x80 {
			s = s[:len(s)-1]
		}
		if len(s) > 0 && s[len(s)-1] >= 0xC0 {
			s = s[:len(s)-1]
		}
	}
	return Valid(s)
}

func codeOf(k wirev1.Kind) codes.Code {
	switch k {
	case wirev1.Kind_KIND_INVALID:
		return codes.InvalidArgument
	case wirev1.Kind_KIND_NOT_FOUND:
		return codes.NotFound
	case wirev1.Kind_KIND_CONFLICT:
		return codes.Aborted
	case wirev1.Kind_KIND_FORBIDDEN:
		return codes.PermissionDenied
	case wirev1.Kind_KIND_UNAVAILABLE:
		return codes.Unavailable
	case wirev1.Kind_KIND_UNAUTHENTICATED:
		return codes.Unauthenticated
	case wirev1.Kind_KIND_TOO_LARGE:
		return codes.OutOfRange
	case wirev1.Kind_KIND_TOO_MANY:
		return codes.ResourceExhausted
	}
	return codes.Internal
}

func kindOf(c codes.Code) wirev1.Kind {
	switch c {
	case codes.InvalidArgument, codes.FailedPrecondition:
		return wirev1.Kind_KIND_INVALID
	case codes.NotFound:
		return wirev1.Kind_KIND_NOT_FOUND
	case codes.Aborted, codes.AlreadyExists:
		return wirev1.Kind_KIND_CONFLICT
	case codes.PermissionDenied:
		return wirev1.Kind_KIND_FORBIDDEN
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return wirev1.Kind_KIND_UNAVAILABLE
	case codes.Unauthenticated:
		return wirev1.Kind_KIND_UNAUTHENTICATED
	case codes.OutOfRange:
		return wirev1.Kind_KIND_TOO_LARGE
	case codes.ResourceExhausted:
		return wirev1.Kind_KIND_TOO_MANY
	}
	return wirev1.Kind_KIND_INTERNAL
}
