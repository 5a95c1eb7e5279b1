package harness

// storeURL is the server's store.
func (s *Server) storeURL() (string, error) {
	return "", nil
}
