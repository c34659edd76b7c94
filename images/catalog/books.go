package main

import (
	"encoding/json"
	"net/http"
)

// A Book is an entry of the catalog.
type Book struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	Author string `json:"author"`
	Year   int    `json:"year"`
	Price  int    `json:"price"` // cents
}

// A shelf holds the books in the order in which they are listed.
type shelf struct {
	books []Book
	byID  map[string]Book
}

func newShelf() *shelf {
	books := []Book{
		{ID: "1", Title: "The Unix Programming Environment", Author: "Kernighan and Pike", Year: 1984, Price: 4999},
		{ID: "2", Title: "The Linux Programming Interface", Author: "Michael Kerrisk", Year: 2010, Price: 8999},
		{ID: "3", Title: "Designing Data-Intensive Applications", Author: "Martin Kleppmann", Year: 2017, Price: 5499},
		{ID: "4", Title: "The Go Programming Language", Author: "Donovan and Kernighan", Year: 2015, Price: 3999},
	}
	byID := make(map[string]Book, len(books))
	for _, book := range books {
		byID[book.ID] = book
	}
	return &shelf{books: books, byID: byID}
}

// routes answers with JSON, errors included.
func routes(s *shelf) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /books", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, s.books)
	})
	mux.HandleFunc("GET /books/{id}", func(w http.ResponseWriter, r *http.Request) {
		book, ok := s.byID[r.PathValue("id")]
		if !ok {
			answer(w, http.StatusNotFound, map[string]string{"error": "no such book"})
			return
		}
		answer(w, http.StatusOK, book)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, map[string]string{"error": "not found"})
	})
	return mux
}

// answer writes a value as JSON. An error here means that the client has gone, and there is nobody to tell.
func answer(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
