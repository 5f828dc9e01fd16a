package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"sync"
	"time"
)

// KeyLength is the length of a key file, in bytes.
const KeyLength = 32

// Limits of a session that a Keeper has when it is told none.
const (
	DefaultIdle = 30 * time.Minute
	DefaultMax  = 8 * time.Hour
)

const (
	cookieName = "finobs"
	hostPrefix = "__Host-" // browsers take such a cookie from this host over https alone, for all of its paths
	maxCookie  = 4000      // bytes; browsers drop what is over 4096 with its attributes
	// touchEvery bounds how often a cookie is written again only because it was used.
	touchEvery = time.Minute
	maxEnded   = 100_000 // sessions that are remembered as ended
)

// Options are the settings of a Keeper.
type Options struct {
	Keys   [][]byte      // of KeyLength each; the first seals, all open. None: a key that ends with the process
	Idle   time.Duration // a session that is not used for so long ends; 0: DefaultIdle
	Max    time.Duration // a session ends so long after signing in; 0: DefaultMax
	Secure bool          // people reach the console over https
}

// Keeper reads and writes the cookies of sessions. It may be used by several
// goroutines.
type Keeper struct {
	seals     []sealer
	idle, max time.Duration
	secure    bool

	mu    sync.Mutex
	ended map[string]time.Time // sessions that were signed out here, until they would have expired
}

type sealer struct {
	aead cipher.AEAD
	csrf []byte
}

// NewKeeper returns a Keeper; it fails for a key of the wrong length and for
// limits that make no sense.
func NewKeeper(o Options) (*Keeper, error) {
	k := &Keeper{idle: o.Idle, max: o.Max, secure: o.Secure, ended: map[string]time.Time{}}
	if k.idle == 0 {
		k.idle = DefaultIdle
	}
	if k.max == 0 {
		k.max = DefaultMax
	}
	if k.idle < time.Minute || k.max < k.idle {
		return nil, fmt.Errorf("sessions: an idle timeout of %s and a longest time of %s: want a minute at least, and the longest time to be the longer one", k.idle, k.max)
	}
	if len(o.Keys) == 0 {
		key := make([]byte, KeyLength)
		rand.Read(key) // never fails
		o.Keys = [][]byte{key}
	}
	for _, key := range o.Keys {
		s, err := newSealer(key)
		if err != nil {
			return nil, err
		}
		k.seals = append(k.seals, s)
	}
	return k, nil
}

// newSealer derives from one key those that seal and those that bind CSRF tokens.
func newSealer(key []byte) (sealer, error) {
	if len(key) != KeyLength {
		return sealer{}, fmt.Errorf("a session key has %d bytes, not %d; make one with: head -c %d /dev/urandom", len(key), KeyLength, KeyLength)
	}
	sealKey, sealErr := hkdf.Key(sha256.New, key, nil, "finobs session cookie v1", KeyLength)
	csrfKey, csrfErr := hkdf.Key(sha256.New, key, nil, "finobs session csrf v1", KeyLength)
	if err := errors.Join(sealErr, csrfErr); err != nil {
		return sealer{}, fmt.Errorf("deriving session keys: %w", err)
	}
	block, err := aes.NewCipher(sealKey)
	if err != nil {
		return sealer{}, fmt.Errorf("deriving session keys: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("deriving session keys: %w", err)
	}
	return sealer{aead, csrfKey}, nil
}

// LoadKey reads a key file, which holds KeyLength bytes and has mode 0600.
func LoadKey(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading session key: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading session key: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("session key %s has mode %s; it must be a file that others cannot read: chmod 600 %s", path, info.Mode(), path)
	}
	key, err := io.ReadAll(io.LimitReader(file, KeyLength+1))
	if err != nil {
		return nil, fmt.Errorf("reading session key: %w", err)
	}
	if len(key) != KeyLength {
		return nil, fmt.Errorf("session key %s must hold exactly %d bytes; make one with: head -c %d /dev/urandom >%s", path, KeyLength, KeyLength, path)
	}
	return key, nil
}

// MakeKey writes a new key file, unless one is there.
func MakeKey(path string) error {
	key := make([]byte, KeyLength)
	rand.Read(key) // never fails
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("making session key: %w", err)
	}
	_, err = file.Write(key)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("making session key: %w", err)
	}
	return nil
}

// Read returns the session of a request. The error is ErrAbsent, ErrIdle,
// ErrExpired or ErrBroken.
func (k *Keeper) Read(r *http.Request, now time.Time) (Session, error) {
	var s Session
	if err := k.open(r, cookieName, &s); err != nil {
		return Session{}, err
	}
	switch {
	case s.ID == "" || s.Principal.Subject == "" || s.SeenAt.After(now.Add(touchEvery)): // two processes' clocks differ a little
		return Session{}, ErrBroken
	case !now.Before(s.ExpiresAt) || now.Sub(s.SignedInAt) >= k.max:
		return Session{}, ErrExpired
	case now.Sub(s.SeenAt) >= k.idle:
		return Session{}, ErrIdle
	case k.hasEnded(s.ID):
		return Session{}, ErrAbsent
	}
	return s, nil
}

// Write hands the session to the browser.
func (k *Keeper) Write(w http.ResponseWriter, s Session) error {
	return k.put(w, cookieName, s, http.SameSiteStrictMode, 0)
}

// Clear takes the session from the browser.
func (k *Keeper) Clear(w http.ResponseWriter) { k.drop(w, cookieName, http.SameSiteStrictMode) }

// End refuses the session from now on in this process, wherever its cookie was
// copied to. Other processes do not learn of it.
func (k *Keeper) End(s Session, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.ended) >= maxEnded {
		for id, until := range k.ended {
			if !until.After(now) {
				delete(k.ended, id)
			}
		}
	}
	if len(k.ended) < maxEnded {
		k.ended[s.ID] = s.ExpiresAt
	}
}

func (k *Keeper) hasEnded(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ended := k.ended[id]
	return ended
}

// Due reports whether the cookie should be written again because the session was
// used at now.
func (k *Keeper) Due(s Session, now time.Time) bool { return now.Sub(s.SeenAt) >= touchEvery }

// Passing is a sealed cookie that lives for minutes, such as what binds a sign-in
// to the browser that began it.
type Passing struct {
	Name  string        // tells its uses apart; a cookie of one use is refused for another
	Life  time.Duration // until the browser drops it; whoever reads it checks the time that it holds
	Cross bool          // it comes along when another site sends the person here (SameSite=Lax)
}

func (p Passing) site() http.SameSite {
	if p.Cross {
		return http.SameSiteLaxMode
	}
	return http.SameSiteStrictMode
}

// Open reads a passing cookie into into. The error is ErrAbsent or ErrBroken.
func (k *Keeper) Open(r *http.Request, p Passing, into any) error {
	return k.open(r, cookieName+"-"+p.Name, into)
}

// Put hands a passing cookie to the browser.
func (k *Keeper) Put(w http.ResponseWriter, p Passing, value any) error {
	return k.put(w, cookieName+"-"+p.Name, value, p.site(), p.Life)
}

// Drop takes a passing cookie from the browser.
func (k *Keeper) Drop(w http.ResponseWriter, p Passing) { k.drop(w, cookieName+"-"+p.Name, p.site()) }

func (k *Keeper) name(base string) string {
	if k.secure {
		return hostPrefix + base
	}
	return base
}

func (k *Keeper) open(r *http.Request, base string, into any) error {
	found := r.CookiesNamed(k.name(base))
	if len(found) == 0 {
		return ErrAbsent
	}
	if len(found) > 1 || len(found[0].Value) > maxCookie {
		return ErrBroken // which of two is ours cannot be told
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(found[0].Value)
	if err != nil {
		return ErrBroken
	}
	for _, s := range k.seals {
		text, err := s.aead.Open(nil, nil, sealed, []byte(base))
		if err != nil {
			continue
		}
		if json.Unmarshal(text, into) != nil {
			return ErrBroken
		}
		return nil
	}
	return ErrBroken
}

func (k *Keeper) put(w http.ResponseWriter, base string, value any, site http.SameSite, life time.Duration) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("sealing cookie: %w", err)
	}
	sealed := base64.RawURLEncoding.EncodeToString(k.seals[0].aead.Seal(nil, nil, text, []byte(base)))
	if len(sealed) > maxCookie {
		return fmt.Errorf("sealing cookie: it would have %d bytes, over the %d that browsers keep", len(sealed), maxCookie)
	}
	http.SetCookie(w, k.cookie(base, sealed, site, int(life.Seconds())))
	return nil
}

func (k *Keeper) drop(w http.ResponseWriter, base string, site http.SameSite) {
	http.SetCookie(w, k.cookie(base, "", site, -1))
}

func (k *Keeper) cookie(base, value string, site http.SameSite, maxAge int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure is left out only where people come over http, which the API allows on its own machine
		Name: k.name(base), Value: value, Path: "/", MaxAge: maxAge, Secure: k.secure, HttpOnly: true, SameSite: site,
	}
}
