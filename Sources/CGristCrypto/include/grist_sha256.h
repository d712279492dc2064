#ifndef GRIST_SHA256_H
#define GRIST_SHA256_H

// SHA-256 by libcrypto, piece by piece.

#include <stddef.h>
#include <stdint.h>

// Ends the program with a sentence and 74 where there is no libcrypto; NULL where it fails.
void *grist_sha256_new(void);
void grist_sha256_free(void *hash);
void grist_sha256_update(void *hash, const void *bytes, size_t count);
// The digest of what came so far, 32 bytes; more may come. Gives 1, or 0 where libcrypto fails.
int grist_sha256_digest(const void *hash, uint8_t *digest);

#endif
