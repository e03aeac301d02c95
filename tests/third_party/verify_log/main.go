// Verifies a log that stands in a folder, or at an address, as C2SP tlog-tiles lays it out, with the Go project's
// own golang.org/x/mod/sumdb packages: nothing of Holdfast takes part in it.
//
//	verify_log FOLDER|URL VERIFIER_KEY OLD_CHECKPOINT STEP
//
// LOG_TOKEN in the environment is the bearer token for an address.
//
// Proves that the log begins with the old checkpoint's, and every STEPth entry. Prints how many entries it found,
// and ends with 1 at the first thing that does not hold.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type folder string

func (f folder) Height() int { return height }

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		content, err := f.read(tile)
		if err != nil {
			return nil, err
		}
		found = append(found, content)
	}
	return found, nil
}

// The Go checksum database writes tile/8/0/..., C2SP tile/0/...
func (f folder) read(tile tlog.Tile) ([]byte, error) {
	path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
	path = strings.Replace(path, "tile/data/", "tile/entries/", 1)
	return f.open(path)
}

func (f folder) open(path string) ([]byte, error) {
	if !strings.HasPrefix(string(f), "http") {
		return os.ReadFile(filepath.Join(string(f), path))
	}
	request, err := http.NewRequest("GET", string(f)+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("LOG_TOKEN"))
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

func checkpoint(text []byte, err error, key note.Verifier) tlog.Tree {
	must(err)
	opened, err := note.Open(text, note.VerifierList(key))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != key.Name() {
		must(fmt.Errorf("that is no checkpoint of %s", key.Name()))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	hash, err := tlog.ParseHash(lines[2])
	must(err)
	return tlog.Tree{N: size, Hash: hash}
}

func main() {
	base := folder(os.Args[1])
	key, err := note.NewVerifier(os.Args[2])
	must(err)
	text, err := base.open("checkpoint")
	tree := checkpoint(text, err, key)
	reader := tlog.TileHashReader(tree, base)
	root, err := tlog.TreeHash(tree.N, reader)
	must(err)
	if root != tree.Hash {
		must(fmt.Errorf("the tiles lead to another root"))
	}
	text, err = os.ReadFile(os.Args[3])
	old := checkpoint(text, err, key)
	consistency, err := tlog.ProveTree(tree.N, old.N, reader)
	must(err)
	must(tlog.CheckTree(consistency, tree.N, tree.Hash, old.N, old.Hash))
	step, err := strconv.ParseInt(os.Args[4], 10, 64)
	must(err)
	found := int64(0)
	for first := int64(0); first < tree.N; first += 1 << height {
		width := tree.N - first
		if width > 1<<height {
			width = 1 << height
		}
		content, err := base.read(tlog.Tile{H: height, L: -1, N: first >> height, W: int(width)})
		must(err)
		for len(content) > 0 {
			length := int(binary.BigEndian.Uint16(content)) + 2
			if found%step == 0 {
				proof, err := tlog.ProveRecord(tree.N, found, reader)
				must(err)
				must(tlog.CheckRecord(proof, tree.N, tree.Hash, found, tlog.RecordHash(content[2:length])))
			}
			content = content[length:]
			found++
		}
	}
	if found != tree.N {
		must(fmt.Errorf("%d of %d entries are there", found, tree.N))
	}
	fmt.Printf("%d entries\n", found)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
