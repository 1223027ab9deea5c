/* mring: what reached the wrong worker. A bounded ring of small messages, many writers, one reader
 * (Vyukov's bounded queue: a sequence number in each cell, no locks, writers never wait: when it is
 * full the message is dropped, as a network would).
 *
 * PACKET_FANOUT spreads flows by hash; ARP replies and ICMP errors have no flow and reach any one
 * worker, which passes them on to all others.
 */
#ifndef ATLAS_MRING_H
#define ATLAS_MRING_H

#include <stdbool.h>
#include <stdint.h>

#define MRING_BYTES 128 /* an ARP frame, an ICMP error with its quote */
#define MRING_CELLS 256

struct mring;

struct mring *mring_new(void); /* NULL: no memory */
void mring_free(struct mring *r);
bool mring_put(struct mring *r, const void *p, uint32_t len); /* any thread; false: full or long */
uint32_t mring_get(struct mring *r, void *p);		      /* owner only; 0: empty */

#endif
