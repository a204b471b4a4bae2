/* One message to the front ends of a Jupyter kernel, without Python: a `stream` on stderr.
 *
 * What a message consists of (jupyter_client: "Messaging in Jupyter"): the topic, a delimiter, the
 * HMAC-SHA256 of the four parts that follow, header, parent header, metadata and content.  The parent
 * header, which says in which cell the text appears, is given in advance (lpf_wire_parent_py), as a
 * dictionary: it is given for every cell, and hardly ever sent.  It is read without the GIL, which is
 * held by the main thread, and that one stands still.
 *
 * The socket is the kernel's own, so report.c sees to it that nobody else uses it meanwhile; here it
 * is made sure that the thread that owns it sleeps, and so is not in the middle of using it, and that
 * it has not gone to sleep between two parts of a message, for instance to wait for the GIL: the
 * kernel's own messages pass through reporter.py, which has them sent by lpf_wire_multipart_py, or
 * says where one begins and ends (lpf_wire_hold_py).
 */
#define _GNU_SOURCE
#include "report.h"

#include <datetime.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sha256.h"

#define DONTWAIT 1 /* ZMQ_DONTWAIT */
#define SNDMORE 2  /* ZMQ_SNDMORE */
#define LONGEST 256
#define MOST_PARTS 16
#define LONGEST_MESSAGE (2 * LPF__MILLISECOND) /* That the owner may be in the middle of. */
#define STEP (20 * LPF__MICROSECOND)

static struct {
    int (*send)(void *socket, const void *data, size_t size, int flags); /* zmq_send. */
    void *socket;
    int owner;            /* Number of the thread. */
    char topic[LONGEST];  /* Of streams. */
    char header[LONGEST]; /* JSON: the beginning of each header, up to and with a comma. */
    struct lpf_hmac hmac; /* With the key in it. */
    bool is_signed;
    _Atomic bool held; /* Its owner is in the middle of a message. */
} wire;

static PyObject *parent; /* Dict: the parent's header; NULL: nobody to tell. */
static unsigned messages;

bool lpf_wire_ready(void)
{
    return wire.socket != NULL && parent != NULL;
}

/* Does the thread that owns the socket sleep?  Between two calls it waits for messages or the GIL. */
static bool owner_sleeps(void)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", wire.owner);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return false;
    }
    ssize_t length = read(descriptor, text, sizeof text - 1);
    close(descriptor);
    text[length > 0 ? length : 0] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && name_end[1] == ' ' && name_end[2] == 'S';
}

/* Is it between two messages?  In one it does not need the GIL, if it is a plain one. */
static bool owner_is_out(void)
{
    uint64_t end = lpf__now() + LONGEST_MESSAGE;
    while (atomic_load(&wire.held) || !owner_sleeps()) {
        if (lpf__now() > end) {
            return false;
        }
        struct timespec step = {0, STEP};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &step, NULL);
    }
    return true;
}

static void write_header(char *to, size_t room)
{
    struct timespec now;
    struct tm parts;
    char date[64];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(to, room, "%s\"msg_id\":\"lpf-report-%d-%u-%llx\",\"date\":\"%s.%06ldZ\"}",
             wire.header, (int)getpid(), ++messages, (unsigned long long)now.tv_nsec, date,
             now.tv_nsec / 1000);
}

/* JSON in the making; what does not fit is left out, and `used` counts it nevertheless. */
struct json {
    char *to;
    size_t room, used;
};

static void put_json(struct json *json, const char *text)
{
    for (; *text != '\0'; text++, json->used++) {
        if (json->used < json->room) {
            json->to[json->used] = *text;
        }
    }
}

static void put_json_text(struct json *json, PyObject *text)
{
    put_json(json, "\"");
    for (Py_ssize_t i = 0; i < PyUnicode_GET_LENGTH(text); i++) {
        unsigned code = PyUnicode_READ_CHAR(text, i);
        unsigned above = code >= 0x10000 ? code - 0x10000 : 0; /* Two of UTF-16's units. */
        char escaped[16] = {(char)code, '\0'};
        if (above != 0) {
            snprintf(escaped, sizeof escaped, "\\u%04x\\u%04x", 0xd800 + (above >> 10),
                     0xdc00 + (above & 0x3ff));
        } else if (code < 32 || code > 126 || code == '"' || code == '\\') {
            snprintf(escaped, sizeof escaped, "\\u%04x", code);
        }
        put_json(json, escaped);
    }
    put_json(json, "\"");
}

static void put_json_date(struct json *json, PyObject *date)
{
    char text[64];
    snprintf(text, sizeof text, "\"%04d-%02d-%02dT%02d:%02d:%02d.%06dZ\"",
             PyDateTime_GET_YEAR(date), PyDateTime_GET_MONTH(date), PyDateTime_GET_DAY(date),
             PyDateTime_DATE_GET_HOUR(date), PyDateTime_DATE_GET_MINUTE(date),
             PyDateTime_DATE_GET_SECOND(date), PyDateTime_DATE_GET_MICROSECOND(date));
    put_json(json, text);
}

/* Texts and the date, which a client gives in UTC; a header has nothing else.  False: no room. */
static bool write_parent(char *to, size_t room)
{
    struct json json = {to, room, 0};
    Py_ssize_t position = 0;
    PyObject *key, *value;
    put_json(&json, "{");
    while (PyDict_Next(parent, &position, &key, &value)) {
        bool is_date = strcmp(Py_TYPE(value)->tp_name, "datetime.datetime") == 0;
        if (!PyUnicode_Check(key) || !(is_date || PyUnicode_Check(value))) {
            continue;
        }
        if (json.used > 1) {
            put_json(&json, ",");
        }
        put_json_text(&json, key);
        put_json(&json, ":");
        if (is_date) {
            put_json_date(&json, value);
        } else {
            put_json_text(&json, value);
        }
    }
    put_json(&json, "}");
    bool fits = json.used < room;
    to[fits ? json.used : 0] = '\0';
    return fits;
}

/* The text is ASCII (report.c). */
static void write_content(const char *text, char *to, size_t room)
{
    size_t used = (size_t)snprintf(to, room, "{\"name\":\"stderr\",\"text\":\"");
    for (; *text != '\0' && used + 8 < room; text++) {
        if (*text == '\n') {
            to[used++] = '\\';
            to[used++] = 'n';
        } else {
            if (*text == '"' || *text == '\\') {
                to[used++] = '\\';
            }
            to[used++] = *text;
        }
    }
    snprintf(to + used, room - used, "\"}");
}

static bool send_part(void *socket, const char *data, size_t size, int flags)
{
    int sent;
    do {
        sent = wire.send(socket, data, size, flags);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

bool lpf_wire_send(const char *text)
{
    char header[LONGEST * 3], above[2048], content[2048], signature[LPF_SHA256_HEX + 1] = "";
    if (!owner_is_out() || !write_parent(above, sizeof above)) {
        return false;
    }
    write_header(header, sizeof header);
    write_content(text, content, sizeof content);
    const char *parts[] = {header, above, "{}", content};
    if (wire.is_signed) {
        struct lpf_hmac hmac = wire.hmac;
        for (int i = 0; i < 4; i++) {
            lpf_hmac_add(&hmac, parts[i], strlen(parts[i]));
        }
        lpf_hmac_hex(&hmac, signature);
    }
    static const char delimiter[] = "<IDS|MSG>";
    void *socket = wire.socket;
    bool sent = send_part(socket, wire.topic, strlen(wire.topic), SNDMORE | DONTWAIT) &&
                send_part(socket, delimiter, strlen(delimiter), SNDMORE | DONTWAIT) &&
                send_part(socket, signature, strlen(signature), SNDMORE | DONTWAIT);
    for (int i = 0; i < 4 && sent; i++) {
        sent = send_part(socket, parts[i], strlen(parts[i]), (i < 3 ? SNDMORE : 0) | DONTWAIT);
    }
    return sent;
}

/* Argument: a list of bytes.  Sends them on the socket as one message, without the GIL from the first
 * part to the last, so that it is never found waiting for that in between.  False, with nothing sent:
 * not these parts. */
PyObject *lpf_wire_multipart_py(PyObject *module, PyObject *parts)
{
    (void)module;
    Py_ssize_t count = PyList_CheckExact(parts) ? PyList_GET_SIZE(parts) : 0;
    bool usable = wire.socket != NULL && count > 0 && count <= MOST_PARTS;
    for (Py_ssize_t i = 0; i < count && usable; i++) {
        usable = PyBytes_CheckExact(PyList_GET_ITEM(parts, i));
    }
    if (!usable) {
        Py_RETURN_FALSE;
    }
    PyObject *kept[MOST_PARTS];
    for (Py_ssize_t i = 0; i < count; i++) {
        kept[i] = Py_NewRef(PyList_GET_ITEM(parts, i));
    }
    bool sent = true;
    int problem = 0;
    void *socket = wire.socket; /* It may be taken back while this message is sent. */
    Py_BEGIN_ALLOW_THREADS atomic_store(&wire.held, true);
    for (Py_ssize_t i = 0; i < count && sent; i++) {
        sent = send_part(socket, PyBytes_AS_STRING(kept[i]), (size_t)PyBytes_GET_SIZE(kept[i]),
                         i < count - 1 ? SNDMORE : 0);
    }
    problem = errno;
    atomic_store(&wire.held, false);
    Py_END_ALLOW_THREADS for (Py_ssize_t i = 0; i < count; i++)
    {
        Py_DECREF(kept[i]);
    }
    errno = problem;
    return sent ? Py_NewRef(Py_True) : PyErr_SetFromErrno(PyExc_OSError);
}

/* Argument: is a message begun (True) or sent whole (False)? */
PyObject *lpf_wire_hold_py(PyObject *module, PyObject *held)
{
    (void)module;
    atomic_store(&wire.held, held == Py_True);
    Py_RETURN_NONE;
}

static int find_zmq(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    if (strstr(info->dlpi_name, "libzmq") == NULL) {
        return 0;
    }
    *(const char **)data = info->dlpi_name;
    return 1;
}

static void *zmq_send_of_process(void)
{
    const char *path = NULL;
    if (dl_iterate_phdr(find_zmq, &path) == 0) {
        return NULL;
    }
    void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD); /* Kept: it is in use anyway. */
    return library != NULL ? dlsym(library, "zmq_send") : NULL;
}

/* Arguments: address of the socket (0: none any more), number of its thread, topic, beginning of the
 * header, key.  True if messages can be sent. */
PyObject *lpf_wire_py(PyObject *module, PyObject *args)
{
    unsigned long long socket;
    int owner;
    const char *topic, *header, *key;
    Py_ssize_t key_length;
    (void)module;
    if (!PyArg_ParseTuple(args, "Kissy#:_report_wire", &socket, &owner, &topic, &header, &key,
                          &key_length)) {
        return NULL;
    }
    wire.socket = NULL;
    void *send = socket != 0 ? zmq_send_of_process() : NULL;
    if (send == NULL || strlen(topic) >= LONGEST || strlen(header) >= LONGEST) {
        Py_RETURN_FALSE;
    }
    memcpy(&wire.send, &send, sizeof send);
    strcpy(wire.topic, topic);
    strcpy(wire.header, header);
    wire.owner = owner;
    wire.is_signed = key_length > 0;
    lpf_hmac_begin(&wire.hmac, key, (size_t)key_length);
    wire.socket = (void *)(uintptr_t)socket;
    Py_RETURN_TRUE;
}

PyObject *lpf_wire_parent_py(PyObject *module, PyObject *header)
{
    (void)module;
    if (header != Py_None && !PyDict_Check(header)) {
        PyErr_SetString(PyExc_TypeError, "header must be a dict or None");
        return NULL;
    }
    PyObject *before = parent;
    parent = header == Py_None ? NULL : Py_NewRef(header);
    Py_XDECREF(before);
    Py_RETURN_NONE;
}
