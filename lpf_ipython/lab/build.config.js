// The same source gives the same files in whatever directory it is built.
module.exports = { optimization: { moduleIds: 'natural', chunkIds: 'natural' } };
