"use strict";(self.rspackChunkjupyterlab_lpf=self.rspackChunkjupyterlab_lpf||[]).push([[0],{19(e,r,o){var t=o(20),a=o.n(t),n=o(21),l=(o.n(n))()(a());l.push([e.id,`.lpf-spinner {
  animation: lpf-turn 1s linear infinite;
  transform-origin: center;
}

@keyframes lpf-turn {
  to {
    transform: rotate(360deg);
  }
}

@media (prefers-reduced-motion: reduce) {
  .lpf-spinner {
    animation: none;
  }
}

/* The word at the prompt. It takes no room of its own: a cell must not grow because it runs. */

.jp-CodeCell .jp-InputArea:has(> .jp-InputPrompt[data-lpf]:not([data-lpf=''])) {
  overflow: visible;
}

.jp-Notebook .jp-CodeCell .jp-InputPrompt[data-lpf]:not([data-lpf='']) {
  position: relative;
  overflow: visible;
  opacity: 1;
}

.jp-CodeCell .jp-InputPrompt[data-lpf]:not([data-lpf=''])::after {
  content: attr(data-lpf);
  position: absolute;
  top: calc(var(--jp-code-padding) + var(--jp-code-font-size) * var(--jp-code-line-height));
  right: 5px;
  color: var(--jp-ui-font-color2);
  font-family: var(--jp-ui-font-family);
  font-size: var(--jp-ui-font-size0);
  line-height: 1.2;
  white-space: nowrap;
}

.jp-CodeCell[data-lpf='paused'] .jp-InputPrompt[data-lpf]::after {
  color: var(--jp-ui-font-color1);
  font-weight: 600;
}

.jp-CodeCell[data-lpf='ended'] .jp-InputPrompt[data-lpf]::after {
  color: var(--jp-error-color1);
}

/* The bar in a cell. */

.lpf-bar {
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  gap: 4px 12px;
  margin-left: calc(var(--jp-cell-prompt-width) + var(--jp-cell-collapser-width));
  padding: 2px 8px;
  border-left: 3px solid var(--jp-warn-color1);
  background: var(--jp-layout-color2);
  color: var(--jp-ui-font-color1);
  font-family: var(--jp-ui-font-family);
  font-size: var(--jp-ui-font-size1);
}

/* Of a cell that is longer than the page, it stays in sight as long as any of the cell does. */
.jp-CodeCell:is([data-lpf='paused'], [data-lpf='running']) > .lpf-bar {
  position: sticky;
  top: 0;
  bottom: 0;
  z-index: 2;
}

/* What the notice for other front ends says, the bar and the prompt say here. */
.jp-CodeCell:is([data-lpf='paused'], [data-lpf='running'], [data-lpf='ended'])
  :is(
    .jp-OutputArea-child:has(.lpf-notice),
    .jp-Cell-outputWrapper:has(.lpf-notice):not(:has(.jp-OutputArea-child ~ .jp-OutputArea-child))
  ) {
  display: none;
}

.jp-CodeCell[data-lpf='queued'] .lpf-bar {
  border-left-color: var(--jp-border-color1);
}

.lpf-bar-text {
  flex: 1 1 auto;
  overflow-wrap: anywhere;
}

.lpf-bar-buttons {
  display: flex;
  gap: 4px;
}

.lpf-button {
  padding: 1px 8px;
  border: 1px solid var(--jp-border-color1);
  border-radius: var(--jp-border-radius);
  background: var(--jp-layout-color1);
  color: var(--jp-ui-font-color1);
  font: inherit;
  cursor: pointer;
}

.lpf-button:hover {
  background: var(--jp-layout-color3);
}

.lpf-button:focus-visible {
  outline: 2px solid var(--jp-brand-color1);
  outline-offset: 1px;
}

/* The line at which a paused cell stands, in its editor. */

.cm-editor .lpf-here {
  background: var(--jp-warn-color3);
}

[data-jp-theme-light='false'] .cm-editor .lpf-here {
  background: color-mix(in srgb, var(--jp-warn-color1) 35%, transparent);
}

/* The stack in the cell, below the bar. */

.lpf-panel.lpf-within {
  box-sizing: border-box;
  max-height: 24em;
  margin-left: calc(var(--jp-cell-prompt-width) + var(--jp-cell-collapser-width));
  padding: 2px 8px 8px;
  border: 1px solid var(--jp-border-color2);
  border-top: 0;
  border-left: 3px solid var(--jp-warn-color1);
}

.lpf-within .lpf-evaluate {
  flex-direction: row;
  flex-wrap: wrap;
}

.lpf-within .lpf-expression {
  flex: 1 1 16em;
}

/* The panels. */

.lpf-panel {
  overflow: auto;
  padding: 8px 12px;
  background: var(--jp-layout-color1);
  color: var(--jp-ui-font-color1);
  font-family: var(--jp-ui-font-family);
  font-size: var(--jp-ui-font-size1);
}

.lpf-panel:focus-visible {
  outline: 1px solid var(--jp-brand-color1);
  outline-offset: -1px;
}

.lpf-panel p {
  margin: 4px 0;
}

/* As the headings of JupyterLab's own panels. */
.lpf-heading {
  margin: 0 0 8px;
  font-size: var(--jp-ui-font-size0);
  font-weight: 600;
  letter-spacing: 1px;
  text-transform: uppercase;
}

.lpf-title {
  margin: 4px 0;
  overflow-wrap: anywhere;
  font-size: var(--jp-ui-font-size1);
}

.lpf-muted,
.lpf-type {
  color: var(--jp-ui-font-color2);
}

.lpf-problem {
  color: var(--jp-error-color1);
  overflow-wrap: anywhere;
}

.lpf-panel summary {
  cursor: pointer;
  overflow-wrap: anywhere;
}

.lpf-panel summary:focus-visible {
  outline: 2px solid var(--jp-brand-color1);
}

.lpf-frame {
  margin: 6px 0;
}

.lpf-source,
.lpf-values,
.lpf-expression {
  font-family: var(--jp-code-font-family);
  font-size: var(--jp-code-font-size);
}

.lpf-source {
  /* The highlight is as wide as the longest line, seen or not. */
  display: grid;
  grid-template-columns: minmax(max-content, 1fr);
  margin: 2px 0;
  padding: 2px 0;
  overflow-x: auto;
  background: var(--jp-cell-editor-background);
}

.lpf-current {
  background: var(--jp-warn-color3);
}

[data-jp-theme-light='false'] .lpf-current {
  background: color-mix(in srgb, var(--jp-warn-color1) 35%, transparent);
}

.lpf-values,
.lpf-list {
  margin: 2px 0;
  padding-left: 4px;
  list-style: none;
}

.lpf-list {
  padding-left: 0;
}

/* The triangle before what can be opened stands in the margin; so do no further lines. */
.lpf-variable {
  padding-left: 14px;
  overflow-wrap: anywhere;
}

.lpf-variable > summary {
  margin-left: -14px;
  padding-left: 14px;
  text-indent: -14px;
}

.lpf-name {
  color: var(--jp-content-link-color);
}

.lpf-type {
  margin-left: 8px;
  font-family: var(--jp-ui-font-family);
  font-size: var(--jp-ui-font-size0);
}

.lpf-evaluate > .lpf-button {
  align-self: flex-start;
}

.lpf-evaluate {
  display: flex;
  flex-direction: column;
  gap: 4px;
  margin-top: 8px;
}

.lpf-field {
  padding: 2px 4px;
  border: 1px solid var(--jp-border-color1);
  background: var(--jp-layout-color1);
  color: var(--jp-ui-font-color1);
}

.lpf-job {
  display: grid;
  gap: 2px;
  margin: 4px 0;
  padding-left: 6px;
  border-left: 3px solid var(--jp-border-color1);
}

.lpf-job.lpf-paused {
  border-left-color: var(--jp-warn-color1);
}

/* Text that leads to the cell. */
.lpf-go {
  justify-self: start;
  padding: 0;
  border: none;
  background: none;
  color: inherit;
  font: inherit;
  text-align: left;
  cursor: pointer;
}

.lpf-go:hover {
  text-decoration: underline;
}

.lpf-panel .lpf-bar-buttons {
  flex-wrap: wrap;
}
`,""]),o.d(r,{},{A:l})},21(e){e.exports=function(e){var r=[];return r.toString=function(){return this.map(function(r){var o="",t=void 0!==r[5];return r[4]&&(o+="@supports (".concat(r[4],") {")),r[2]&&(o+="@media ".concat(r[2]," {")),t&&(o+="@layer".concat(r[5].length>0?" ".concat(r[5]):""," {")),o+=e(r),t&&(o+="}"),r[2]&&(o+="}"),r[4]&&(o+="}"),o}).join("")},r.i=function(e,o,t,a,n){"string"==typeof e&&(e=[[null,e,void 0]]);var l={};if(t)for(var p=0;p<this.length;p++){var i=this[p][0];null!=i&&(l[i]=!0)}for(var f=0;f<e.length;f++){var s=[].concat(e[f]);t&&l[s[0]]||(void 0!==n&&(void 0===s[5]||(s[1]="@layer".concat(s[5].length>0?" ".concat(s[5]):""," {").concat(s[1],"}")),s[5]=n),o&&(s[2]&&(s[1]="@media ".concat(s[2]," {").concat(s[1],"}")),s[2]=o),a&&(s[4]?(s[1]="@supports (".concat(s[4],") {").concat(s[1],"}"),s[4]=a):s[4]="".concat(a)),r.push(s))}},r}},20(e){e.exports=function(e){return e[1]}},12(e,r,o){o.r(r);var t=o(13),a=o.n(t),n=o(14),l=o.n(n),p=o(15),i=o.n(p),f=o(16),s=o.n(f),c=o(17),d=o.n(c),u=o(18),v=o.n(u),h=o(19),m={};m.styleTagTransform=v(),m.setAttributes=s(),m.insert=i().bind(null,"head"),m.domAPI=l(),m.insertStyleElement=d(),a()(h.A,m);let g=h.A&&h.A.locals?h.A.locals:void 0;o.d(r,{},{default:g})},13(e){var r=[];function o(e){for(var o=-1,t=0;t<r.length;t++)if(r[t].identifier===e){o=t;break}return o}function t(e,t){for(var a={},n=[],l=0;l<e.length;l++){var p=e[l],i=t.base?p[0]+t.base:p[0],f=a[i]||0,s="".concat(i," ").concat(f);a[i]=f+1;var c=o(s),d={css:p[1],media:p[2],sourceMap:p[3],supports:p[4],layer:p[5]};if(-1!==c)r[c].references++,r[c].updater(d);else{var u=function(e,r){var o=r.domAPI(r);return o.update(e),function(r){r?(r.css!==e.css||r.media!==e.media||r.sourceMap!==e.sourceMap||r.supports!==e.supports||r.layer!==e.layer)&&o.update(e=r):o.remove()}}(d,t);t.byIndex=l,r.splice(l,0,{identifier:s,updater:u,references:1})}n.push(s)}return n}e.exports=function(e,a){var n=t(e=e||[],a=a||{});return function(e){e=e||[];for(var l=0;l<n.length;l++){var p=o(n[l]);r[p].references--}for(var i=t(e,a),f=0;f<n.length;f++){var s=o(n[f]);0===r[s].references&&(r[s].updater(),r.splice(s,1))}n=i}}},15(e){var r={};e.exports=function(e,o){var t=function(e){if(void 0===r[e]){var o=document.querySelector(e);if(window.HTMLIFrameElement&&o instanceof window.HTMLIFrameElement)try{o=o.contentDocument.head}catch(e){o=null}r[e]=o}return r[e]}(e);if(!t)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");t.appendChild(o)}},17(e){e.exports=function(e){var r=document.createElement("style");return e.setAttributes(r,e.attributes),e.insert(r,e.options),r}},16(e,r,o){e.exports=function(e){var r=o.nc;r&&e.setAttribute("nonce",r)}},14(e){e.exports=function(e){if("u"<typeof document)return{update:function(){},remove:function(){}};var r=e.insertStyleElement(e);return{update:function(o){var t,a,n;t="",o.supports&&(t+="@supports (".concat(o.supports,") {")),o.media&&(t+="@media ".concat(o.media," {")),(a=void 0!==o.layer)&&(t+="@layer".concat(o.layer.length>0?" ".concat(o.layer):""," {")),t+=o.css,a&&(t+="}"),o.media&&(t+="}"),o.supports&&(t+="}"),(n=o.sourceMap)&&"u">typeof btoa&&(t+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(n))))," */")),e.styleTagTransform(t,r,e.options)},remove:function(){var e;null===(e=r).parentNode||e.parentNode.removeChild(e)}}}},18(e){e.exports=function(e,r){if(r.styleSheet)r.styleSheet.cssText=e;else{for(;r.firstChild;)r.removeChild(r.firstChild);r.appendChild(document.createTextNode(e))}}}}]);