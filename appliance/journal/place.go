package journal

import "context"

// Place gives how far a named reader is: the number of the last fact that he has done with. A new reader begins at the
// present. It is for a reader that Follow does not fit, because he is told of more before he has done with the first.
func (j *Journal) Place(ctx context.Context, reader string) (uint64, error) {
	return j.place(ctx, reader)
}

// Remember keeps how far a reader is. After a crash he begins there, so that he may see some facts again.
func (j *Journal) Remember(ctx context.Context, reader string, seq uint64) error {
	return j.remember(ctx, reader, seq)
}
