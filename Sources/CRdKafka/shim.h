#ifndef SWIFT_MESSAGE_QUEUE_CRDKAFKA_SHIM_H
#define SWIFT_MESSAGE_QUEUE_CRDKAFKA_SHIM_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdint.h>

/* rd_kafka_producev takes a variable argument list, which Swift cannot call.
   The partition must exist and headers belong to librdkafka once this returns RD_KAFKA_RESP_ERR_NO_ERROR. */
static inline rd_kafka_resp_err_t mq_produce(rd_kafka_t *rk, rd_kafka_topic_t *rkt, int32_t partition,
                                             const void *key, size_t key_length, const void *value, size_t value_length,
                                             rd_kafka_headers_t *headers, uintptr_t opaque) {
        if (headers)
                return rd_kafka_producev(rk, RD_KAFKA_V_RKT(rkt), RD_KAFKA_V_PARTITION(partition),
                                         RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                         RD_KAFKA_V_KEY(key, key_length),
                                         RD_KAFKA_V_VALUE((void *)value, value_length),
                                         RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE((void *)opaque),
                                         RD_KAFKA_V_END);
        return rd_kafka_producev(rk, RD_KAFKA_V_RKT(rkt), RD_KAFKA_V_PARTITION(partition),
                                 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, key_length),
                                 RD_KAFKA_V_VALUE((void *)value, value_length), RD_KAFKA_V_OPAQUE((void *)opaque),
                                 RD_KAFKA_V_END);
}

#endif
