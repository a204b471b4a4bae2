/* SHA-256 and HMAC (FIPS 180-4, RFC 2104). */
#ifndef LPF_SHA256_H
#define LPF_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define LPF_SHA256_HEX 64

struct lpf_sha256 {
    uint32_t state[8];
    uint64_t length;
    unsigned char block[64];
};

struct lpf_hmac {
    struct lpf_sha256 inner, outer;
};

void lpf_hmac_begin(struct lpf_hmac *hmac, const void *key, size_t length);
void lpf_hmac_add(struct lpf_hmac *hmac, const void *data, size_t length);
void lpf_hmac_hex(struct lpf_hmac *hmac, char hex[LPF_SHA256_HEX + 1]); /* Ends it. */

#endif
