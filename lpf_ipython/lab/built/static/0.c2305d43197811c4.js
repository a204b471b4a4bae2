"use strict";(self.rspackChunkjupyterlab_lpf=self.rspackChunkjupyterlab_lpf||[]).push([[0],{16(e,r,t){var o=t(17),n=t.n(o),a=t(18),p=(t.n(a))()(n());p.push([e.id,`.lpf-spinner {
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

/* The word at the prompt. */

.jp-CodeCell .jp-InputPrompt[data-lpf]:not([data-lpf=''])::after {
  content: attr(data-lpf);
  display: block;
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
  margin-left: calc(
    var(--jp-cell-prompt-width) + var(--jp-cell-collapser-width) + var(--jp-cell-padding)
  );
  padding: 2px 8px;
  border-left: 3px solid var(--jp-warn-color1);
  background: var(--jp-layout-color2);
  color: var(--jp-ui-font-color1);
  font-family: var(--jp-ui-font-family);
  font-size: var(--jp-ui-font-size1);
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
`,""]),t.d(r,{},{A:p})},18(e){e.exports=function(e){var r=[];return r.toString=function(){return this.map(function(r){var t="",o=void 0!==r[5];return r[4]&&(t+="@supports (".concat(r[4],") {")),r[2]&&(t+="@media ".concat(r[2]," {")),o&&(t+="@layer".concat(r[5].length>0?" ".concat(r[5]):""," {")),t+=e(r),o&&(t+="}"),r[2]&&(t+="}"),r[4]&&(t+="}"),t}).join("")},r.i=function(e,t,o,n,a){"string"==typeof e&&(e=[[null,e,void 0]]);var p={};if(o)for(var i=0;i<this.length;i++){var l=this[i][0];null!=l&&(p[l]=!0)}for(var c=0;c<e.length;c++){var s=[].concat(e[c]);o&&p[s[0]]||(void 0!==a&&(void 0===s[5]||(s[1]="@layer".concat(s[5].length>0?" ".concat(s[5]):""," {").concat(s[1],"}")),s[5]=a),t&&(s[2]&&(s[1]="@media ".concat(s[2]," {").concat(s[1],"}")),s[2]=t),n&&(s[4]?(s[1]="@supports (".concat(s[4],") {").concat(s[1],"}"),s[4]=n):s[4]="".concat(n)),r.push(s))}},r}},17(e){e.exports=function(e){return e[1]}},9(e,r,t){t.r(r);var o=t(10),n=t.n(o),a=t(11),p=t.n(a),i=t(12),l=t.n(i),c=t(13),s=t.n(c),u=t(14),f=t.n(u),d=t(15),v=t.n(d),m=t(16),h={};h.styleTagTransform=v(),h.setAttributes=s(),h.insert=l().bind(null,"head"),h.domAPI=p(),h.insertStyleElement=f(),n()(m.A,h);let y=m.A&&m.A.locals?m.A.locals:void 0;t.d(r,{},{default:y})},10(e){var r=[];function t(e){for(var t=-1,o=0;o<r.length;o++)if(r[o].identifier===e){t=o;break}return t}function o(e,o){for(var n={},a=[],p=0;p<e.length;p++){var i=e[p],l=o.base?i[0]+o.base:i[0],c=n[l]||0,s="".concat(l," ").concat(c);n[l]=c+1;var u=t(s),f={css:i[1],media:i[2],sourceMap:i[3],supports:i[4],layer:i[5]};if(-1!==u)r[u].references++,r[u].updater(f);else{var d=function(e,r){var t=r.domAPI(r);return t.update(e),function(r){r?(r.css!==e.css||r.media!==e.media||r.sourceMap!==e.sourceMap||r.supports!==e.supports||r.layer!==e.layer)&&t.update(e=r):t.remove()}}(f,o);o.byIndex=p,r.splice(p,0,{identifier:s,updater:d,references:1})}a.push(s)}return a}e.exports=function(e,n){var a=o(e=e||[],n=n||{});return function(e){e=e||[];for(var p=0;p<a.length;p++){var i=t(a[p]);r[i].references--}for(var l=o(e,n),c=0;c<a.length;c++){var s=t(a[c]);0===r[s].references&&(r[s].updater(),r.splice(s,1))}a=l}}},12(e){var r={};e.exports=function(e,t){var o=function(e){if(void 0===r[e]){var t=document.querySelector(e);if(window.HTMLIFrameElement&&t instanceof window.HTMLIFrameElement)try{t=t.contentDocument.head}catch(e){t=null}r[e]=t}return r[e]}(e);if(!o)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");o.appendChild(t)}},14(e){e.exports=function(e){var r=document.createElement("style");return e.setAttributes(r,e.attributes),e.insert(r,e.options),r}},13(e,r,t){e.exports=function(e){var r=t.nc;r&&e.setAttribute("nonce",r)}},11(e){e.exports=function(e){if("u"<typeof document)return{update:function(){},remove:function(){}};var r=e.insertStyleElement(e);return{update:function(t){var o,n,a;o="",t.supports&&(o+="@supports (".concat(t.supports,") {")),t.media&&(o+="@media ".concat(t.media," {")),(n=void 0!==t.layer)&&(o+="@layer".concat(t.layer.length>0?" ".concat(t.layer):""," {")),o+=t.css,n&&(o+="}"),t.media&&(o+="}"),t.supports&&(o+="}"),(a=t.sourceMap)&&"u">typeof btoa&&(o+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(a))))," */")),e.styleTagTransform(o,r,e.options)},remove:function(){var e;null===(e=r).parentNode||e.parentNode.removeChild(e)}}}},15(e){e.exports=function(e,r){if(r.styleSheet)r.styleSheet.cssText=e;else{for(;r.firstChild;)r.removeChild(r.firstChild);r.appendChild(document.createTextNode(e))}}}}]);